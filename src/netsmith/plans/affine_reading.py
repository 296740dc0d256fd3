"""Reads the affine map that layers compute from the functions that their forward calls, not from their classes.

The layers run on a ``meta`` tensor; a function mode sees each call with the real parameters and follows the map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ..wiring.capture import transparent_functional
from ..wiring.inputs import map_tensors
from ..wiring.recorder import counts, function_name, tensors_in, writes
from .affine import Affine, NotAffine, added, composed, diagonal, identity


@dataclass(frozen=True)
class Reading:
    """What layers in a row compute.

    Attributes:
        map: as one map.
        names: of the functions that they called, in order.
        macs: multiplications that they take for one example, sums and scales counted as one for each element.
        merged_macs: those that the one map takes.
        shape: of the result, for the given input.
    """

    map: Affine
    names: tuple[str, ...]
    macs: int
    merged_macs: int
    shape: tuple[int, ...]


def read_affine(layers: Sequence[nn.Module], shape: Sequence[int], stop: nn.Module | None = None) -> Reading:
    """The map that layers in a row compute in eval mode.

    Args:
        layers: each is called with the result of the one before; may be on ``meta``.
        shape: of the first one's input.
        stop: a module inside the last layer: what enters it is the result.

    Raises:
        NotAffine: they compute something else, or its map cannot be said as one kernel.
    """
    try:
        x = torch.empty(tuple(shape), device="meta", dtype=torch.float64)
    except RuntimeError as error:  # larger than any memory
        raise NotAffine(f"no tensor has the shape {tuple(shape)}") from error
    device = next((t.device for layer in layers for t in layer.parameters()), torch.device("cpu"))
    mode = _Following(x, device)
    with _in_eval(layers), torch.no_grad(), transparent_functional(), mode:
        handle = stop.register_forward_pre_hook(_halt) if stop is not None else None
        try:
            for layer in layers:
                x = layer(x)
            if stop is not None:
                raise NotAffine("the last layer does not get to the module at which to stop")
        except _Halted as halted:
            x = halted.tensor
        except NotAffine:
            raise
        except Exception as error:  # a forward that wants more than one tensor, or another device
            raise NotAffine(f"forward raises {type(error).__name__}: {error}") from error
        finally:
            if handle is not None:
                handle.remove()
    found = mode.known[id(x)][1] if id(x) in mode.known else None
    if found is None:
        raise NotAffine("the result does not come from the input by way of layers")
    places = mode.start if found.transposed else x
    merged_macs = int(found.weight[0].numel() * places.numel() // max(len(places), 1))
    return Reading(found, tuple(mode.names), mode.macs, merged_macs, tuple(x.shape))


class _Halted(Exception):
    def __init__(self, tensor: torch.Tensor):
        super().__init__()
        self.tensor = tensor


def _halt(module: nn.Module, args: tuple) -> None:
    raise _Halted(args[0])


@contextmanager
def _in_eval(layers: Sequence[nn.Module]) -> Iterator[None]:
    modes = [(module, module.training) for layer in layers for module in layer.modules()]
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, training in modes:
            module.training = training


@dataclass
class _Following(TorchFunctionMode):
    """``known``: id of a tensor that depends on the input -> (tensor, its map; None for the input itself)."""

    start: torch.Tensor
    device: torch.device  # of the layers' parameters
    known: dict[int, tuple[torch.Tensor, Affine | None]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    macs: int = 0

    def __post_init__(self) -> None:
        super().__init__()
        self.known[id(self.start)] = (self.start, None)

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        given = [t for t in tensors_in((args, kwargs)) if id(t) in self.known]
        name = function_name(func)
        if not given:
            if writes(name):
                raise NotAffine(f"{name} overwrites a tensor of the layer")
            out = func(*args, **kwargs)
            if counts(name, tensors_in(out)):
                self.names.append(name)
            return out
        if name == "batch_norm":  # meta's own takes a hundred times longer
            out = torch.empty_like(args[0])
        else:
            out = func(*map_tensors(args, _on_meta), **map_tensors(kwargs, _on_meta))
        if not counts(name, tensors_in(out)):
            return out  # a size
        self.names.append(name)
        follow = _FUNCTIONS.get(name.rstrip("_") if not name.startswith("__") else name)
        if follow is None or not isinstance(out, torch.Tensor):
            raise NotAffine(f"it calls {name}")
        self.known[id(out)] = (out, follow(self, args, kwargs))
        self.macs += self._cost(args, out, name)
        return out

    def _cost(self, args: tuple, out: torch.Tensor, name: str) -> int:
        each = out.numel() // max(len(out), 1)
        if name == "linear" or name.startswith("conv"):
            weight = args[1]
            if name.startswith("conv_transpose"):
                return int(weight[0].numel() * args[0].numel() // len(out))
            return int(weight[0].numel() * each)
        return 0 if name in _FREE else each

    def map_of(self, tensor: Any, dim: int) -> Affine:
        """The map by which the tensor comes from the input, with channels in this dimension."""
        held = self.known[id(tensor)][1]
        spatial = tensor.dim() - dim - 1
        if held is None:
            return identity(tensor.shape[dim], spatial, self.device)
        if len(held.kernel) != spatial:
            raise NotAffine("its layers have their channels in different dimensions")
        return held

    def then(self, tensor: Any, dim: int, second: Affine) -> Affine:
        return composed(self.map_of(tensor, dim), second)


def _on_meta(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.is_meta and tensor.dtype == torch.float64:
        return tensor
    return tensor.to("meta", torch.float64 if tensor.is_floating_point() else tensor.dtype)


def _arg(args: tuple, kwargs: dict, position: int, name: str, default: Any = None) -> Any:
    return args[position] if position < len(args) else kwargs.get(name, default)


def _ints(value: Any, count: int) -> tuple[int, ...]:
    numbers = [int(v) for v in value] if isinstance(value, (tuple, list)) else [int(value)]
    return tuple(numbers * count if len(numbers) == 1 else numbers)


def _double(value: torch.Tensor | None) -> torch.Tensor | None:
    return None if value is None else value.detach().double()


def _parameters_only(mode: _Following, *values: Any) -> None:
    if any(id(value) in mode.known for value in values):
        raise NotAffine("a weight is computed from the input")


def _convolution(spatial: int) -> Callable[[_Following, tuple, dict], Affine]:
    def follow(mode: _Following, args: tuple, kwargs: dict) -> Affine:
        x, weight, bias = args[0], _arg(args, kwargs, 1, "weight"), _arg(args, kwargs, 2, "bias")
        _parameters_only(mode, weight, bias)
        stride = _ints(_arg(args, kwargs, 3, "stride", 1), spatial)
        padding, dilation = _arg(args, kwargs, 4, "padding", 0), _ints(_arg(args, kwargs, 5, "dilation", 1), spatial)
        if padding == "same":
            whole = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
            if any(n % 2 for n in whole):
                raise NotAffine("padding='same' adds more on one side")
            padding = tuple(n // 2 for n in whole)
        padding = _ints(0 if padding == "valid" else padding, spatial)
        groups = int(_arg(args, kwargs, 6, "groups", 1))
        own = Affine(weight.detach().double(), _double(bias), stride, padding, dilation, groups)
        return mode.then(x, x.dim() - spatial - 1, own)

    return follow


def _transposed(spatial: int) -> Callable[[_Following, tuple, dict], Affine]:
    def follow(mode: _Following, args: tuple, kwargs: dict) -> Affine:
        x, weight, bias = args[0], _arg(args, kwargs, 1, "weight"), _arg(args, kwargs, 2, "bias")
        _parameters_only(mode, weight, bias)
        own = Affine(
            weight.detach().double(),
            _double(bias),
            _ints(_arg(args, kwargs, 3, "stride", 1), spatial),
            _ints(_arg(args, kwargs, 4, "padding", 0), spatial),
            _ints(_arg(args, kwargs, 7, "dilation", 1), spatial),
            int(_arg(args, kwargs, 6, "groups", 1)),
            transposed=True,
            output_padding=_ints(_arg(args, kwargs, 5, "output_padding", 0), spatial),
        )
        return mode.then(x, x.dim() - spatial - 1, own)

    return follow


def _linear(mode: _Following, args: tuple, kwargs: dict) -> Affine:
    x, weight, bias = args[0], _arg(args, kwargs, 1, "weight"), _arg(args, kwargs, 2, "bias")
    _parameters_only(mode, weight, bias)
    return mode.then(x, x.dim() - 1, Affine(weight.detach().double(), _double(bias), (), (), ()))


def _batch_norm(mode: _Following, args: tuple, kwargs: dict) -> Affine:
    names = ("input", "weight", "bias", "running_mean", "running_var", "training", "momentum", "eps")
    x, weight, bias, mean, var, training, _, eps = (_arg(args, kwargs, i, n) for i, n in enumerate(names))
    _parameters_only(mode, weight, bias, mean, var)
    if training or mean is None:
        raise NotAffine("it normalizes with the statistics of its input")
    scale = (var.detach().double() + eps).rsqrt()
    scale = scale if weight is None else scale * weight.detach().double()
    shift = -mean.detach().double() * scale
    shift = shift if bias is None else shift + bias.detach().double()
    return mode.then(x, 1, diagonal(scale, shift, x.dim() - 2))


def _sum(sign: int) -> Callable[[_Following, tuple, dict], Affine]:
    def follow(mode: _Following, args: tuple, kwargs: dict) -> Affine:
        left, right = args[0], _arg(args, kwargs, 1, "other")
        if kwargs.get("alpha", 1) != 1:
            raise NotAffine("a sum with a factor")
        both = [id(value) in mode.known for value in (left, right)]
        if not all(both):
            x, other = (left, right) if both[0] else (right, left)
            dim, values = _per_channel(mode, x, other)
            known = mode.map_of(x, dim)
            if not both[0] and sign < 0:
                raise NotAffine("a map is subtracted from a constant")
            shifted = values * sign if known.bias is None else known.bias + values * sign
            nothing = not torch.is_tensor(other) and other == 0
            return known if nothing else replace(known, bias=shifted, unchanged=False)
        dims = [t.dim() - len(held.kernel) - 1 for t in (left, right) if (held := mode.known[id(t)][1]) is not None]
        if left.shape != right.shape or not dims:
            raise NotAffine("a sum of the input with itself, or with broadcasting")
        first, second = (mode.map_of(t, dims[0]) for t in (left, right))
        if sign < 0:
            negated = None if second.bias is None else -second.bias
            second = replace(second, weight=-second.weight, bias=negated, unchanged=False)
        return added(first, second)

    return follow


def _product(mode: _Following, args: tuple, kwargs: dict) -> Affine:
    left, right = args[0], _arg(args, kwargs, 1, "other")
    both = [id(value) in mode.known for value in (left, right)]
    if all(both):
        raise NotAffine("a product of two maps of the input")
    x, other = (left, right) if both[0] else (right, left)
    dim, values = _per_channel(mode, x, other)
    return mode.then(x, dim, diagonal(values, None, x.dim() - dim - 1))


def _per_channel(mode: _Following, x: torch.Tensor, other: Any) -> tuple[int, torch.Tensor]:
    """(dimension, one value for each channel of it) of a constant that meets x."""
    held = mode.known[id(x)][1]
    at = None if held is None else x.dim() - len(held.kernel) - 1
    shape = [] if not torch.is_tensor(other) else [1] * (x.dim() - other.dim()) + list(other.shape)
    wide = [dim for dim, n in enumerate(shape) if n > 1]
    if not wide and at is not None:
        value = other.detach().double().reshape(()) if torch.is_tensor(other) else float(other)
        return at, torch.ones(x.shape[at], dtype=torch.float64, device=mode.device) * value
    if len(wide) != 1 or (at is not None and wide[0] != at) or shape[wide[0]] != x.shape[wide[0]]:
        raise NotAffine("a constant that differs along more than the channels")
    return wide[0], other.detach().double().flatten()


def _same(mode: _Following, args: tuple, kwargs: dict) -> Affine | None:
    return mode.known[id(args[0])][1]


def _dropout(mode: _Following, args: tuple, kwargs: dict) -> Affine | None:
    if _arg(args, kwargs, 2, "train", True) or _arg(args, kwargs, 1, "p", 0.5):
        raise NotAffine("in training it drops units")
    return _same(mode, args, kwargs)


def _pad(mode: _Following, args: tuple, kwargs: dict) -> Affine:
    x, widths = args[0], _arg(args, kwargs, 1, "pad")
    if mode.known[id(x)][1] is not None or len(widths) != 2 * (x.dim() - 2):
        raise NotAffine("it pads something else than its input")
    return replace(identity(x.shape[1], x.dim() - 2, mode.device), open=True)


_FREE = ("dropout", "contiguous", "clone", "pad")
_FUNCTIONS: dict[str, Callable[[_Following, tuple, dict], Affine | None]] = {
    **{f"conv{n}d": _convolution(n) for n in (1, 2, 3)},
    **{f"conv_transpose{n}d": _transposed(n) for n in (1, 2, 3)},
    **dict.fromkeys(("add", "__add__", "__radd__", "__iadd__"), _sum(1)),
    **dict.fromkeys(("sub", "__sub__", "__isub__"), _sum(-1)),
    **dict.fromkeys(("mul", "__mul__", "__rmul__", "__imul__", "multiply"), _product),
    **dict.fromkeys(("contiguous", "clone"), _same),
    "linear": _linear,
    "batch_norm": _batch_norm,
    "dropout": _dropout,
    "pad": _pad,
}
