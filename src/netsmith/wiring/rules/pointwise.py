"""Functions that treat every element alone: inputs broadcast against each other, unit meets unit."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .. import spaces
from ..recorder import Call, Dims, constants, tensors_in
from .reduction import reduce


def broadcast(dims: Sequence[Dims], rank: int) -> Dims:
    """Align dimensions at the right, unify what meets; size-1 dimensions stretch."""
    out: Dims = []
    for position in range(rank):
        meeting = [d[len(d) - rank + position] for d in dims if len(d) - rank + position >= 0]
        meeting = [dim for dim in meeting if spaces.size_of(dim) != 1]
        for other in meeting[1:]:
            spaces.unify(meeting[0], other)
        out.append(meeting[0] if meeting else [])
    return out


def pointwise(call: Call) -> Dims | list[Dims] | None:
    """Elementwise functions, also the two-tensor forms of max and min."""
    tensors = call.tensors()
    if not tensors:  # torch.div(7, 2): numbers only
        return constants(call.out)
    if not isinstance(call.out, torch.Tensor) or call.out.dim() < tensors[0].dim():
        return reduce(call)
    return broadcast([call.dims(t) for t in tensors], call.out.dim())


def where(call: Call) -> Dims | list[Dims]:
    """where(condition, a, b) is elementwise; where(condition) lists positions."""
    tensors = call.tensors()
    if len(tensors) == 1 and not isinstance(call.out, torch.Tensor):
        call.freeze(call.dims(tensors[0]), "positions listed by where")
        return [[spaces.new(int(n), "listed positions") for n in t.shape] for t in tensors_in(call.out)]
    return broadcast([call.dims(t) for t in tensors], call.out.dim())


def cast(call: Call) -> Dims:
    """``x.to(other)``: the other tensor lends only its dtype and device."""
    return call.dims(call.args[0])


def same(call: Call) -> Dims | list[Dims]:
    """Every output has the dimensions of the first tensor."""
    dims = call.dims(call.tensors()[0])
    return dims if isinstance(call.out, torch.Tensor) else [dims for _ in call.outputs()]


def softmax(call: Call) -> Dims:
    """Elementwise in shape; normalizes over one dimension."""
    dims = call.dims(call.args[0])
    axis = call.arg(1, "dim")
    if axis is not None and dims:
        call.statistic(dims[int(axis) % len(dims)])
    return dims


def scan(call: Call) -> Dims:
    """cumsum and the like: a unit depends on all before it, so the scanned dimension stays as it is."""
    dims = call.dims(call.args[0])
    call.freeze(dims[int(call.arg(1, "dim")) % len(dims)], "a running sum goes along it")
    return dims


def prelu(call: Call) -> Dims:
    dims, slope = call.dims(call.args[0]), call.dims(call.args[1])
    if slope and len(dims) > 1:
        spaces.unify(dims[1], slope[0])
    return dims


def setitem(call: Call) -> None:
    """``x[key] = value``: what is assigned meets what the key selects."""
    from .indexing import written

    target, key, value = call.args
    if isinstance(value, torch.Tensor):
        written(call, target, key, value)


_NAMES = """
add sub subtract mul multiply div divide true_divide floor_divide pow rsub remainder fmod maximum minimum max min
masked_fill clamp clip clamp_min clamp_max lerp addcmul addcdiv atan2 float_power
__add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ __div__ __rdiv__ __pow__ __rpow__
__floordiv__ __mod__ __neg__ __invert__ __and__ __or__ __xor__ __iadd__ __isub__ __imul__ __itruediv__ __idiv__
__iand__ __ior__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ eq ne lt le gt ge
greater greater_equal less less_equal not_equal
logical_and logical_or logical_not logical_xor bitwise_and bitwise_or bitwise_not
relu relu6 gelu silu sigmoid tanh hardtanh hardswish hardsigmoid leaky_relu elu celu selu mish softplus log_sigmoid
logsigmoid rrelu threshold hardshrink softshrink tanhshrink softsign
exp exp2 expm1 log log2 log10 log1p sqrt rsqrt sin cos tan asin acos atan sinh cosh abs absolute neg negative positive
square reciprocal sign sgn floor ceil round trunc frac erf erfc isnan isinf isfinite nan_to_num logit heaviside
angle conj_physical i0 lgamma digamma hypot xlogy logaddexp logaddexp2 ldexp
dropout feature_dropout alpha_dropout feature_alpha_dropout bernoulli copy
"""
_SAME = """
clone contiguous detach alias float half double bfloat16 long int bool cpu cuda requires_grad zeros_like ones_like
empty_like full_like rand_like randn_like fill zero data.get real.get imag.get conj pin_memory resolve_conj resolve_neg
normal uniform native_dropout
"""

RULES = {name: pointwise for name in _NAMES.split()}
RULES |= {name: same for name in _SAME.split()}
RULES |= {name: softmax for name in ("softmax", "log_softmax", "_softmax")}
RULES |= {name: scan for name in ("cumsum", "cumprod", "logcumsumexp")}
RULES |= {name: cast for name in ("to", "type", "type_as")}
RULES |= {"where": where, "prelu": prelu, "__setitem__": setitem}
