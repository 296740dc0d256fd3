"""Fake tensors, and a shorter way to the result of the operations that every network is made of.

``FakeTensorMode`` answers any operation, and takes 0.1 ms for one that it has met, 1 to 20 ms for one that it has not
(it runs a decomposition in Python). ``Shortcuts`` lies above it and answers the frequent ones from their shapes, or
by C++ kernels on ``meta``. What it is not sure of it hands on, and every error is FakeTensorMode's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, in_kernel_invocation_manager
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode

aten, prim = torch.ops.aten, torch.ops.prim


def fake_mode() -> FakeTensorMode:
    return FakeTensorMode(allow_non_fake_inputs=True)


def fake_like(mode: FakeTensorMode, tensor: torch.Tensor, shape: tuple[int, ...] | None = None) -> torch.Tensor:
    """A fake tensor of the same dtype, device and strides; contiguous where it is to have another shape."""
    if tensor.layout != torch.strided:
        return mode.from_tensor(tensor.detach())
    # by hand: converting the tensor would describe its storage and history, ten times dearer
    if shape is not None:
        elem = torch.empty(shape, dtype=tensor.dtype, device="meta")
    else:
        elem = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
    return FakeTensor(mode, elem, tensor.device)


class Shortcuts(TorchDispatchMode):
    """To be entered above its FakeTensorMode. Only for forwards without gradients."""

    def __init__(self, mode: FakeTensorMode):
        super().__init__()
        self._mode = mode

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled under it: torch need not wrap each call against that

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func is prim.device.default and type(args[0]) is FakeTensor:
            return args[0].fake_device
        answer = _ANSWERS.get(func)
        device = self._device(args, kwargs or {}) if answer is not None else None
        if answer is not None and device is not None:
            try:
                with no_dispatch():
                    out = answer(self._mode, func, *args, **(kwargs or {}))
            except Exception:  # options that the answer does not know; what is really wrong FakeTensorMode says
                out = None
            if out is not None:
                return self._wrapped(out, device)
        # a decomposition calls torch's Python functions, or none where its result was cached: not the model's calls
        with torch._C.DisableTorchFunction():
            return func(*args, **(kwargs or {}))

    def _device(self, args: tuple, kwargs: dict) -> torch.device | None:
        """The one device of all tensors; None where a tensor is real, has a known value or lies elsewhere."""
        device = kwargs.get("device")
        for arg in args:
            for item in arg if isinstance(arg, (list, tuple)) else (arg,):
                if not isinstance(item, torch.Tensor):
                    continue
                if type(item) is not FakeTensor or item.fake_mode is not self._mode or item.constant is not None:
                    return None
                if device is None:
                    device = item.fake_device
                elif item.fake_device != device:
                    return None
        return device

    def _wrapped(self, out: Any, device: torch.device) -> Any:
        if isinstance(out, (tuple, list)):
            return type(out)(self._wrapped(item, device) for item in out)
        if not isinstance(out, torch.Tensor) or isinstance(out, FakeTensor):
            return out
        return FakeTensor(self._mode, out, device)


# Each answer is called like the operation and gives plain meta tensors, or None: not sure. Its tensors are fake, of one
# mode and device. An option that it does not name makes it raise, and FakeTensorMode answers instead.


def _by_kernel(mode: FakeTensorMode, func: Any, *args: Any) -> Any:
    """The C++ kernel on meta."""
    with in_kernel_invocation_manager(mode):
        return func(*args)


def _new(shape: Any, like: torch.Tensor) -> torch.Tensor:
    return torch.empty(shape, dtype=like.dtype, device="meta")


def _like(x: torch.Tensor) -> torch.Tensor | None:
    """What an elementwise function allocates for x: the same strides where x is dense."""
    if x.is_contiguous():
        return _new(x.shape, x)
    if _is_dense(x):
        return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="meta")
    return None


def _is_dense(x: torch.Tensor) -> bool:
    """Whether x is contiguous in some order of its dimensions."""
    expected = 1
    for stride, size in sorted(zip(x.stride(), x.shape, strict=True)):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


def _unary(mode: FakeTensorMode, func: Any, x: torch.Tensor, *options: Any, approximate: str = "") -> Any:
    return _like(x) if x.is_floating_point() else None


def _softmax(mode: FakeTensorMode, func: Any, x: torch.Tensor, dim: int, half_to_float: bool) -> Any:
    return _like(x) if x.is_floating_point() and x.is_contiguous() and not half_to_float else None


def _clone(mode: FakeTensorMode, func: Any, x: torch.Tensor, memory_format: Any = None) -> Any:
    if memory_format in (None, torch.preserve_format):
        return _like(x)
    return _new(x.shape, x) if memory_format == torch.contiguous_format else None


def _in_place(mode: FakeTensorMode, func: Any, x: torch.Tensor, *options: Any) -> Any:
    return x if x.is_floating_point() else None


def _binary_in_place(mode: FakeTensorMode, func: Any, written: torch.Tensor, other: Any) -> Any:
    if not written.is_floating_point():
        return None
    if isinstance(other, torch.Tensor) and torch.broadcast_shapes(written.shape, other.shape) != written.shape:
        return None
    return written


def _binary(mode: FakeTensorMode, func: Any, left: Any, right: Any) -> Any:
    if not isinstance(left, torch.Tensor) or not left.is_floating_point():
        return None
    if isinstance(right, (int, float)):
        return _like(left)
    if left.dtype != right.dtype:
        return None
    if left.shape == right.shape and left.stride() == right.stride():
        return _like(left)
    if not (left.dim() and right.dim() and left.is_contiguous() and right.is_contiguous()):
        return None
    return _new(torch.broadcast_shapes(left.shape, right.shape), left)


def _mean(mode: FakeTensorMode, func: Any, x: torch.Tensor, dims: Any, keep: bool = False) -> Any:
    if not x.is_floating_point() or not x.is_contiguous() or not dims:
        return None
    over = {dim % x.dim() for dim in dims}
    if keep:
        return _new([1 if dim in over else size for dim, size in enumerate(x.shape)], x)
    return _new([size for dim, size in enumerate(x.shape) if dim not in over], x)


def _batch_norm(
    mode: FakeTensorMode,
    func: Any,
    x: torch.Tensor,
    weight: Any,
    bias: Any,
    mean: Any,
    var: Any,
    training: bool,
    *_: Any,
) -> Any:
    vectors = [v for v in (weight, bias, mean, var) if v is not None]
    if training or not x.is_floating_point() or any(v.shape != x.shape[1:2] for v in vectors):
        return None
    out = _like(x)
    return None if out is None else (out, _new(0, x), _new(0, x))


def _layer_norm(
    mode: FakeTensorMode, func: Any, x: torch.Tensor, shape: Any, weight: Any, bias: Any, eps: float
) -> Any:
    last, before = x.shape[x.dim() - len(shape) :], x.shape[: x.dim() - len(shape)]
    if last != tuple(shape) or any(v is not None and (v.shape != last or v.dtype != x.dtype) for v in (weight, bias)):
        return None
    statistics = (*before, *(1 for _ in shape))
    return _new(x.shape, x), _new(statistics, x), _new(statistics, x)  # contiguous, whatever x is


def _addmm(mode: FakeTensorMode, func: Any, bias: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> Any:
    if bias.dtype != left.dtype or bias.shape != right.shape[1:]:
        return None
    return _mm(mode, func, left, right)


def _mm(mode: FakeTensorMode, func: Any, left: torch.Tensor, right: torch.Tensor) -> Any:
    if left.dtype != right.dtype or left.dim() != 2 or right.dim() != 2 or left.shape[1] != right.shape[0]:
        return None
    return _new((left.shape[0], right.shape[1]), left)


def _bmm(mode: FakeTensorMode, func: Any, left: torch.Tensor, right: torch.Tensor) -> Any:
    if left.dtype != right.dtype or left.dim() != 3 or right.dim() != 3:
        return None
    if left.shape[0] != right.shape[0] or left.shape[2] != right.shape[1]:
        return None
    return _new((*left.shape[:2], right.shape[2]), left)


def _cat(mode: FakeTensorMode, func: Any, parts: Any, dim: int = 0) -> Any:
    first = parts[0]
    if any(p.dtype != first.dtype or p.dim() != first.dim() or not p.is_contiguous() for p in parts):
        return None
    dim %= first.dim()
    rest = (first.shape[:dim], first.shape[dim + 1 :])
    if any((p.shape[:dim], p.shape[dim + 1 :]) != rest for p in parts):
        return None
    return _new((*rest[0], sum(p.shape[dim] for p in parts), *rest[1]), first)


def _convolution(mode: FakeTensorMode, func: Any, x: torch.Tensor, weight: torch.Tensor, *options: Any) -> Any:
    return _by_kernel(mode, func, x, weight, *options) if x.is_contiguous() and weight.is_contiguous() else None


def _empty(
    mode: FakeTensorMode,
    func: Any,
    shape: Any,
    *,
    device: Any,
    dtype: Any = None,
    layout: Any = torch.strided,
    pin_memory: Any = False,
) -> Any:
    return torch.empty(shape, dtype=dtype, device="meta") if layout == torch.strided and not pin_memory else None


_VIEWS = """
view.default _unsafe_view.default t.default transpose.int permute.default expand.default unsqueeze.default
squeeze.dim squeeze.dims select.int slice.Tensor split.Tensor split_with_sizes.default unbind.int detach.default
"""
_UNARY = "relu.default gelu.default silu.default sigmoid.default tanh.default hardtanh.default hardswish.default"
_UNARY += " hardsigmoid.default neg.default rsqrt.default sqrt.default exp.default pow.Tensor_Scalar"
_WRITTEN = "relu_.default silu_.default hardtanh_.default hardswish_.default hardsigmoid_.default sigmoid_.default"
_BINARY = "add.Tensor sub.Tensor mul.Tensor div.Tensor"


def _overloads(names: str) -> list[Any]:
    return [getattr(getattr(aten, name.split(".")[0]), name.split(".")[1]) for name in names.split()]


_ANSWERS: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys(_overloads(_VIEWS), _by_kernel),
    **dict.fromkeys(_overloads(_UNARY), _unary),
    **dict.fromkeys(_overloads(_WRITTEN), _in_place),
    **dict.fromkeys(_overloads(_BINARY), _binary),
    **dict.fromkeys(_overloads("add_.Tensor sub_.Tensor mul_.Tensor div_.Tensor"), _binary_in_place),
    aten._softmax.default: _softmax,
    aten.clone.default: _clone,
    aten.empty.memory_format: _empty,
    aten.mean.dim: _mean,
    aten.native_batch_norm.default: _batch_norm,
    aten.native_layer_norm.default: _layer_norm,
    aten.addmm.default: _addmm,
    aten.mm.default: _mm,
    aten.bmm.default: _bmm,
    aten.cat.default: _cat,
    aten.convolution.default: _convolution,
}
