"""Makes functions whose result depends on how many units there are depend only on what the units are.

A layer normalization divides by statistics of all its units, so a network with units removed is not the original with
those units at zero, however right the surgery. With every such statistic replaced by a stand-in that ignores zeros
(a mean by a sum, a normalization by one with a fixed count) both must agree again. That is how surgery behind
normalizations is proved exactly.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ..wiring.capture import transparent_functional
from ..wiring.recorder import function_name

_UNITS = 64  # what sums over units are divided by, whatever the width: keeps values in range
_SCALE = 0.125  # of attention scores, where the default would follow the head width


def _affine(
    x: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None, channels_first: bool
) -> torch.Tensor:
    for tensor, combine in ((weight, torch.mul), (bias, torch.add)):
        if tensor is not None:
            shape = [1, -1, *[1] * (x.dim() - 2)] if channels_first else list(tensor.shape)
            x = combine(x, tensor.reshape(shape))
    return x


def _unit_norm(x: torch.Tensor, dims: tuple[int, ...]) -> torch.Tensor:
    return x * torch.rsqrt(torch.sum(x * x, dim=dims, keepdim=True) / _UNITS + 1e-6)


def _layer_norm(x: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, *args: Any, **kwargs: Any) -> Any:
    dims = tuple(range(-len(normalized_shape), 0))
    return _affine(_unit_norm(x, dims), weight, bias, channels_first=False)


def _rms_norm(x: Any, normalized_shape: Any, weight: Any = None, eps: Any = None) -> Any:
    return _layer_norm(x, normalized_shape, weight)


def _group_norm(x: Any, num_groups: Any, weight: Any = None, bias: Any = None, *args: Any, **kwargs: Any) -> Any:
    grouped = x.reshape(x.shape[0], num_groups, -1)
    return _affine(_unit_norm(grouped, (-1,)).reshape(x.shape), weight, bias, channels_first=True)


def _mean(x: Any, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Any:
    return (torch.sum(x, dim=dim, keepdim=keepdim) if dim is not None else torch.sum(x)) / _UNITS


def _var(x: Any, dim: Any = None, *args: Any, keepdim: bool = False, **kwargs: Any) -> Any:
    return _mean(x * x, dim if isinstance(dim, (int, tuple, list)) else None, keepdim)


def _std(x: Any, dim: Any = None, *args: Any, keepdim: bool = False, **kwargs: Any) -> Any:
    return _var(x, dim, keepdim=keepdim).sqrt()


def _softmax(x: Any, dim: Any = None, *args: Any, **kwargs: Any) -> Any:
    # tanh keeps zeros at zero and masks of -inf finite
    return x if dim is None else _unit_norm(torch.tanh(x), (dim,))


def _weight_norm(v: Any, g: Any, dim: int = 0) -> Any:
    others = tuple(i for i in range(v.dim()) if i != dim % v.dim())
    return g * _unit_norm(v, others)  # finite where a whole unit is zero


def _attention(*args: Any, **kwargs: Any) -> Any:
    if kwargs.get("scale") is None:
        kwargs["scale"] = _SCALE
    return torch._C._nn.scaled_dot_product_attention(*args, **kwargs)


STAND_INS: dict[str, Callable[..., Any]] = {
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "mean": _mean,
    "var": _var,
    "std": _std,
    "softmax": _softmax,
    "log_softmax": _softmax,
    "_weight_norm": _weight_norm,
    "scaled_dot_product_attention": _attention,
}


# products and quotients with a plain number: the number may have been computed from a width, so it counts as one
_SCALINGS = frozenset(
    "mul mul_ multiply div div_ divide true_divide __mul__ __rmul__ __imul__ __truediv__ __itruediv__ __div__".split()
)


class _StandIns(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = function_name(func)
        if name in _SCALINGS and len(args) == 2 and not kwargs:
            numbers = [a for a in args if isinstance(a, (int, float)) and not isinstance(a, bool)]
            if numbers and numbers[0] > 0:
                args = tuple(1.0 if a is numbers[0] else a for a in args)
        return STAND_INS.get(name, func)(*args, **(kwargs or {}))


@contextlib.contextmanager
def widthless() -> Iterator[None]:
    """While it is open, statistics over units are replaced by their stand-ins."""
    with transparent_functional(), _StandIns():
        yield
