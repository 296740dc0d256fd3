"""Pointwise rules, each compared with the zeroed original; see ``exercise``."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from wiring.rules.exercise import Case, exercise

UNARY = """
relu relu6 gelu silu sigmoid tanh hardtanh hardswish hardsigmoid leaky_relu elu celu selu mish softplus
rrelu hardshrink softshrink exp exp2 expm1 log log2 log10 log1p sqrt rsqrt sin cos tan asin acos
atan sinh cosh abs absolute neg negative positive square reciprocal sign sgn floor ceil round trunc frac erf erfc isnan
isinf isfinite nan_to_num logit logical_not clone detach float half double bfloat16 long int bool zeros_like ones_like
empty_like rand_like randn_like contiguous cpu clamp_min clamp_max __invert__ bitwise_not
requires_grad_ alias resolve_conj resolve_neg dropout feature_dropout alpha_dropout feature_alpha_dropout
native_dropout bernoulli fill_ zero_ normal_ uniform_ full_like threshold clamp clip to type pow data.get real.get
log_sigmoid angle conj_physical i0 lgamma digamma
"""
BINARY = """
add sub subtract mul multiply div divide true_divide floor_divide pow rsub remainder fmod maximum minimum max min
atan2 float_power __rsub__ __rdiv__ __rpow__ __floordiv__ __eq__ eq ne lt le gt ge logical_and logical_or
logical_xor bitwise_and bitwise_or __and__ __or__ __xor__ copy_ lerp heaviside hypot xlogy logaddexp
logaddexp2 ldexp greater greater_equal less less_equal not_equal
"""
INPLACE = "__iand__ __ior__ add_ mul_ div_"

# arguments after the tensors
MORE: dict[str, tuple] = {
    "clamp": (0.3, 0.6),
    "clip": (0.3, 0.6),
    "clamp_min": (0.4,),
    "clamp_max": (0.4,),
    "threshold": (0.4, 0.0),
    "full_like": (0.7,),
    "fill_": (0.7,),
    "bernoulli": (1.0,),
    "dropout": (0.5, False),
    "feature_dropout": (0.5, False),
    "alpha_dropout": (0.5, False),
    "feature_alpha_dropout": (0.5, False),
    "native_dropout": (0.5, False),
    "to": (torch.float32,),
    "type": (torch.float32,),
    "pow": (2,),
    "lerp": (0.3,),
}
CONSTANT_RANDOM = ("rand_like", "randn_like", "normal_", "uniform_", "empty_like")
INTEGERS = (
    "bitwise_not",
    "bitwise_and",
    "bitwise_or",
    "__invert__",
    "__and__",
    "__or__",
    "__xor__",
    "__iand__",
    "__ior__",
)


def inside(x: torch.Tensor) -> torch.Tensor:
    """Into (0.1, 0.9), where every function is defined."""
    return x.sigmoid() * 0.8 + 0.1


def named(name: str) -> Callable:
    if name == "log_sigmoid":
        return F.logsigmoid
    for home in (torch.Tensor, torch, F):
        if hasattr(home, name):
            return getattr(home, name)
    return getattr(torch._C._nn, name, None) or getattr(torch.ops.aten, name)


def of(name: str, count: int) -> Callable:
    """The function of tensors that were brought to where it is defined, its randomness taken out."""

    def call(*tensors: torch.Tensor) -> torch.Tensor:
        given = [inside(t) for t in tensors]
        if name in INTEGERS:
            given = [t > 0.5 for t in given]
        if name.endswith(".get"):
            return getattr(given[0], name.removesuffix(".get"))
        more = MORE.get(name, ()) if count == 1 or name == "lerp" else ()
        out = named(name)(*given, *more)
        if name in CONSTANT_RANDOM:
            return out.clone().fill_(0.5)
        return out

    return call


def rule_name(name: str) -> str:
    return name if name.startswith("__") else name.removesuffix("_")


UNARY_CASES = [Case(rule_name(name), of(name, 1), ((4, 6),), 2) for name in UNARY.split()]
BINARY_CASES = [Case(rule_name(name), of(name, 2), ((4, 6), (6,)), 2) for name in (BINARY + INPLACE).split()]
OTHER_CASES = [
    Case("lerp", torch.lerp, ((4, 6), (6,), (4, 1)), 2),
    Case("addcmul", torch.addcmul, ((4, 6), (6,), (4, 1)), 2),
    Case("addcdiv", lambda a, b, c: torch.addcdiv(a, b, inside(c)), ((4, 6), (6,), (4, 1)), 2),
    Case("masked_fill", lambda a, b: a.masked_fill(b > 0, -1.0), ((4, 6), (6,)), 2),
    Case("where", lambda a, b, c: torch.where(a > 0, b, c), ((4, 6), (6,), (4, 1)), 2),
    Case("prelu", F.prelu, ((2, 6, 4), (6,)), 3),
    Case("prelu", F.prelu, ((2, 6, 4), (1,)), 3, label="one slope"),
    Case("type_as", torch.Tensor.type_as, ((4, 6), (8,)), 3),
    Case("softmax", lambda a: a.softmax(1), ((4, 6),), 2),
    Case("log_softmax", lambda a: F.log_softmax(a, -1), ((4, 6),), 2),
    Case("_softmax", lambda a: torch._softmax(a, 1, False), ((4, 6),), 2),
    Case("cumsum", lambda a: a.cumsum(1), ((4, 6),), 1),
    Case("cumprod", lambda a: a.cumprod(-1), ((4, 6),), 1),
    Case("logcumsumexp", lambda a: a.logcumsumexp(dim=0), ((4, 6),), 1),
]


def write(key: object) -> Callable:
    def call(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        a[key] = b  # type: ignore[index]
        return a

    return call


OTHER_CASES += [
    Case("__setitem__", write((slice(None), 0)), ((4, 6, 8), (8,)), 3, label="first unit"),
    Case("__setitem__", write(slice(None)), ((4, 6), (6,)), 2, label="broadcast"),
    Case("__setitem__", write((Ellipsis, slice(None))), ((4, 6), (4, 1)), 2, label="ellipsis"),
    Case("__setitem__", write((slice(None), slice(0, 2))), ((4, 6), (4, 2)), 2, label="written in the code"),
    Case("__setitem__", write(torch.tensor([True, False, True, True])), ((4, 6), (3, 6)), 1, label="a mask"),
    Case("__setitem__", write((slice(None), torch.tensor([True, False]))), ((4, 2, 6), (4, 1, 6)), 2, label="masked"),
    Case("div", lambda a: a * torch.div(7, 2), ((4, 6),), 2, label="of numbers"),
]


@pytest.mark.parametrize("cases", [UNARY_CASES, BINARY_CASES, OTHER_CASES], ids=["unary", "binary", "other"])
def test_pointwise(cases: list[Case]) -> None:
    exercise(cases)
