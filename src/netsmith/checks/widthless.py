"""Makes functions whose result depends on how many units there are depend only on what the units are.

A layer normalization divides by statistics of all its units, so a network with units removed is not the original with
those units at zero, however right the surgery. With every such statistic replaced by a stand-in that ignores zeros
(a mean by a sum, a normalization by one with a fixed count) both must agree again. That is how surgery behind
normalizations is proved exactly.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ..wiring.capture import transparent_functional
from ..wiring.recorder import function_name
from .stand_ins import STAND_INS

# products and quotients with a plain number: the number may have been computed from a width, so it counts as one
_SCALINGS = frozenset(
    "mul mul_ multiply div div_ divide true_divide __mul__ __rmul__ __imul__ __truediv__ __itruediv__ __div__".split()
)


_SCALED_PRODUCTS = frozenset("addmm addmv addbmm baddbmm addmm_ baddbmm_".split())  # they take the number as alpha
_MADE_OF_A_NUMBER = frozenset("tensor as_tensor scalar_tensor".split())


class _StandIns(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name, kwargs = function_name(func), kwargs or {}
        if name in _SCALINGS and len(args) == 2 and not kwargs:
            if any(isinstance(a, torch.Tensor) and a.is_floating_point() for a in args):
                args = tuple(1.0 if _is_scale(a) else a for a in args)
        elif name in _SCALED_PRODUCTS and _is_scale(kwargs.get("alpha")):
            kwargs = kwargs | {"alpha": 1.0}
        elif name in _MADE_OF_A_NUMBER and len(args) == 1 and _is_scale(args[0]):
            made_float = isinstance(args[0], float) and "dtype" not in kwargs
            if made_float or getattr(kwargs.get("dtype"), "is_floating_point", False):
                args = (1.0,)
        return STAND_INS.get(name, func)(*args, **kwargs)


def _is_scale(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


@contextlib.contextmanager
def widthless() -> Iterator[None]:
    """While it is open, statistics over units are replaced by their stand-ins."""
    with transparent_functional(), _StandIns():
        yield
