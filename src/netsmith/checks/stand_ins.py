"""What ``widthless`` puts in the place of statistics: the same kind of function, blind to units that are zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

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


def _instance_norm(x: Any, weight: Any, bias: Any, mean: Any, var: Any, of_input: bool, *args: Any) -> Any:
    if not of_input:
        return torch.instance_norm(x, weight, bias, mean, var, of_input, *args)
    return _affine(_unit_norm(x, tuple(range(2, x.dim()))), weight, bias, channels_first=True)


def _batch_norm(x: Any, weight: Any, bias: Any, mean: Any, var: Any, of_input: bool, *args: Any) -> Any:
    """In training mode over its input: weight standardization normalizes filters with it."""
    if not of_input:
        return torch.batch_norm(x, weight, bias, mean, var, of_input, *args)
    dims = tuple(d for d in range(x.dim()) if d != 1)
    return _affine(_unit_norm(x, dims), weight, bias, channels_first=True)


def _mean(x: Any, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Any:
    dim = kwargs.get("axis", dim)
    return (torch.sum(x, dim=dim, keepdim=keepdim) if dim is not None else torch.sum(x)) / _UNITS


def _var(x: Any, dim: Any = None, *args: Any, keepdim: bool = False, **kwargs: Any) -> Any:
    return _mean(x * x, dim if isinstance(dim, (int, tuple, list)) else None, keepdim)


def _std(x: Any, dim: Any = None, *args: Any, keepdim: bool = False, **kwargs: Any) -> Any:
    return _var(x, dim, keepdim=keepdim).sqrt()


def _aminmax(x: Any, *, dim: Any = None, keepdim: bool = False) -> Any:
    mean = _mean(x, dim, keepdim)
    return torch.return_types.aminmax((mean, mean))


def _softmax(x: Any, dim: Any = None, *args: Any, **kwargs: Any) -> Any:
    # tanh keeps zeros at zero and masks of -inf finite
    return x if dim is None else _unit_norm(torch.tanh(x), (dim,))


def _weight_norm(v: Any, g: Any, dim: int = 0) -> Any:
    others = tuple(i for i in range(v.dim()) if i != dim % v.dim())
    return g * _unit_norm(v, others)  # finite where a whole unit is zero


def _attention(
    q: Any,
    k: Any,
    v: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    if enable_gqa:
        k, v = (t.repeat_interleave(q.shape[-3] // t.shape[-3], -3) for t in (k, v))
    scores = torch.matmul(q, k.transpose(-2, -1)) * _SCALE  # whatever the scale: it may follow the head width
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -torch.inf) if attn_mask.dtype is torch.bool else scores + attn_mask
    return torch.matmul(_softmax(scores, -1), v)


def _with_positions(name: str) -> Callable[..., Any]:
    """max(x), max(x, dim) -> (values, positions), max(x, other): only the second form has positions to be kept."""
    return_type, function = getattr(torch.return_types, name), getattr(torch, name)

    def extremum(x: Any, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Any:
        if isinstance(dim, torch.Tensor) or "other" in kwargs:
            return function(x, dim, **kwargs) if dim is not None else function(x, **kwargs)
        if dim is None:
            return _mean(x)
        return return_type((_mean(x, dim, keepdim), function(x, dim, keepdim).indices))

    return extremum


STAND_INS: dict[str, Callable[..., Any]] = {
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
    "batch_norm": _batch_norm,
    "mean": _mean,
    "nanmean": _mean,
    "logsumexp": _mean,
    "amax": _mean,
    "amin": _mean,
    "aminmax": _aminmax,
    "max": _with_positions("max"),
    "min": _with_positions("min"),
    "var": _var,
    "std": _std,
    "var_mean": lambda x, *args, **kwargs: (_var(x, *args, **kwargs), _mean(x, *args, **kwargs)),
    "std_mean": lambda x, *args, **kwargs: (_std(x, *args, **kwargs), _mean(x, *args, **kwargs)),
    "softmax": _softmax,
    "log_softmax": _softmax,
    "_softmax": _softmax,
    "_weight_norm": _weight_norm,
    "scaled_dot_product_attention": _attention,
}
