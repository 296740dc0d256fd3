"""Every rule of the table keeps the contract that outsiders' rules are held to.

The cases of ``tests/wiring/rules`` run, and each call in them of the function that they are about is given to
``check_rule`` as it comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from netsmith.testing import check_rule
from netsmith.wiring.capture import transparent_functional
from netsmith.wiring.recorder import function_name
from netsmith.wiring.rules import DEFAULT_RULES
from wiring.rules import (
    test_contraction,
    test_creation,
    test_gathering,
    test_indexing,
    test_joining,
    test_layout,
    test_norms,
    test_pointwise,
    test_recurrent,
    test_reduction,
    test_spatial,
    test_transforms,
)
from wiring.rules.exercise import Case

CASES = [
    *test_contraction.CASES,
    *test_creation.CASES,
    *test_gathering.CASES,
    *test_indexing.CASES,
    *test_joining.CASES,
    *test_layout.CASES,
    *test_norms.CASES,
    *test_pointwise.UNARY_CASES,
    *test_pointwise.BINARY_CASES,
    *test_pointwise.OTHER_CASES,
    *test_recurrent.CASES,
    *test_reduction.CASES,
    *test_spatial.CASES,
    *test_transforms.CASES,
]
# They need another device, another dtype or numpy, or exist in other releases only.
NOT_CALLED = set("cuda pin_memory nms from_numpy _grouped_mm grouped_mm _cdist_forward fractional_max_pool1d".split())
UNINITIALIZED = {"empty", "empty_like", "new_empty"}  # whatever was in memory: no two runs agree


class Checked(TorchFunctionMode):
    """Gives every call of one function to ``check_rule``."""

    def __init__(self, name: str):
        super().__init__()
        self.name = name
        self.proved: list[int] = []

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = function_name(func)
        if (name if name.startswith("__") else name.removesuffix("_")) == self.name:
            self.proved.append(check_rule(DEFAULT_RULES[self.name], func, *args, **(kwargs or {})))
        return func(*args, **(kwargs or {}))


@pytest.mark.filterwarnings("ignore:index_reduce")
@pytest.mark.parametrize("case", [c for c in CASES if c.name not in UNINITIALIZED], ids=str)
def test_the_contract_of(case: Case) -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(shape, generator=generator) for shape in case.shapes]
    with transparent_functional(), Checked(case.name) as checked:
        case.function(*tensors)
    assert checked.proved, f"{case.name} was not called"


def x(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


# function, arguments, axes that stay free
DIRECT: dict[str, tuple[Callable, tuple, int]] = {
    "__neg__": (torch.Tensor.__neg__, (x(4, 6),), 2),
    "__matmul__": (torch.Tensor.__matmul__, (x(4, 6), x(6, 5)), 3),
    "__rmatmul__": (torch.Tensor.__rmatmul__, (x(6, 5), x(4, 6)), 3),
    "__iter__": (torch.Tensor.__iter__, (x(4, 6),), 1),
    "logsigmoid": (F.logsigmoid, (x(4, 6),), 2),
    "tanhshrink": (F.tanhshrink, (x(4, 6),), 2),
    "softsign": (F.softsign, (x(4, 6),), 2),
    "vector_norm": (torch.linalg.vector_norm, (x(4, 6), 2, 1), 1),
    "local_response_norm": (F.local_response_norm, (x(2, 6, 4), 2), 2),
    "interpolate": (F.interpolate, (x(2, 6, 4), 8), 2),
    "lp_pool1d": (F.lp_pool1d, (x(3, 6, 8), 2, 2), 2),
    "lp_pool2d": (F.lp_pool2d, (x(3, 6, 8, 8), 2, 2), 2),
    "lp_pool3d": (F.lp_pool3d, (x(3, 6, 4, 4, 4), 2, 2), 2),
    "max_pool1d_with_indices": (F.max_pool1d_with_indices, (x(3, 6, 8), 2), 2),
    "fold": (F.fold, (x(2, 24, 9), (6, 6), 2, 1, 0, 2), 2),
    "grid_sampler_2d": (torch.grid_sampler_2d, (x(2, 6, 5, 7), x(2, 3, 4, 2).tanh(), 0, 0, False), 4),
    "grid_sampler_3d": (torch.grid_sampler_3d, (x(2, 6, 3, 4, 5), x(2, 3, 4, 7, 3).tanh(), 0, 0, False), 5),
    "one_hot": (F.one_hot, (torch.tensor([0, 3, 1]),), 0),
    "nonzero": (torch.nonzero, (x(4, 6),), 0),
    "unique": (torch.Tensor.unique, (x(4, 6),), 0),
    "bincount": (torch.bincount, (torch.tensor([0, 3, 1]),), 0),
    "allclose": (torch.allclose, (x(4, 6), x(4, 6)), 0),
    "equal": (torch.equal, (x(4, 6), x(4, 6)), 0),
    "multinomial": (torch.multinomial, (x(4, 6).abs(), 2), 0),
}
for _name in "add radd sub mul rmul truediv rtruediv div pow mod ne lt le gt ge".split():
    _base = x(4, 6).abs() + 0.5
    DIRECT[f"__{_name}__"] = (getattr(torch.Tensor, f"__{_name}__"), (_base, x(6).abs() + 0.5), 2)
for _name in "iadd isub imul itruediv idiv".split():
    DIRECT[f"__{_name}__"] = (getattr(torch.Tensor, f"__{_name}__"), (x(4, 6), x(6)), 2)
for _n in (1, 2, 3):
    DIRECT[f"adaptive_max_pool{_n}d_with_indices"] = (
        getattr(F, f"adaptive_max_pool{_n}d_with_indices"),
        (x(3, 6, *[4] * _n), 2),
        2,
    )
for _n in (2, 3):
    DIRECT[f"fractional_max_pool{_n}d"] = (
        getattr(F, f"fractional_max_pool{_n}d"),
        (x(3, 6, *[6] * _n), 2, 2),
        2,
    )


@pytest.mark.parametrize("name", sorted(DIRECT))
def test_the_contract_of_what_torch_spells_otherwise(name: str) -> None:
    function, args, free = DIRECT[name]
    assert check_rule(DEFAULT_RULES[name], function, *args) == free


def test_no_rule_is_left_out() -> None:
    missing = set(DEFAULT_RULES) - {case.name for case in CASES} - set(DIRECT)
    assert missing == NOT_CALLED
