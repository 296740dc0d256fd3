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

aten = torch.ops.aten


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
        answer = _ANSWERS.get(func)
        if answer is not None and (not kwargs or func is aten.gelu.default):
            device = self._device(args)
            if device is not None:
                try:
                    with no_dispatch():
                        out = answer(self._mode, func, args)
                except Exception:  # whatever is wrong, FakeTensorMode says it
                    out = None
                if out is not None:
                    return self._wrapped(out, device)
        return func(*args, **(kwargs or {}))

    def _device(self, args: tuple) -> torch.device | None:
        """The one device of all tensors; None where a tensor is real, has a known value or lies elsewhere."""
        device = None
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


# Each answer gives plain meta tensors, or None: not sure. Tensor arguments are fake, of one mode and device.


def _by_kernel(mode: FakeTensorMode, func: Any, args: tuple) -> Any:
    """The C++ kernel on meta."""
    with in_kernel_invocation_manager(mode):
        return func(*args)


def _like(x: torch.Tensor) -> torch.Tensor | None:
    """What an elementwise function allocates for x: the same strides where x is dense."""
    if x.is_contiguous():
        return torch.empty(x.shape, dtype=x.dtype, device="meta")
    if torch._prims_common.is_non_overlapping_and_dense(x):
        return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="meta")
    return None


def _unary(mode: FakeTensorMode, func: Any, args: tuple) -> Any:
    return _like(args[0]) if args[0].is_floating_point() else None


def _in_place(mode: FakeTensorMode, func: Any, args: tuple) -> Any:
    return args[0] if args[0].is_floating_point() else None


def _binary(mode: FakeTensorMode, func: Any, args: tuple) -> Any:
    left, right = args[:2]
    if len(args) > 2 or not isinstance(left, torch.Tensor) or not left.is_floating_point():
        return None
    if isinstance(right, (int, float)):
        return _like(left)
    if left.dtype != right.dtype:
        return None
    if left.shape == right.shape and left.stride() == right.stride():
        return _like(left)
    if not (left.dim() and right.dim() and left.is_contiguous() and right.is_contiguous()):
        return None
    return torch.empty(torch.broadcast_shapes(left.shape, right.shape), dtype=left.dtype, device="meta")


def _batch_norm(mode: FakeTensorMode, func: Any, args: tuple) -> Any:
    x, *vectors, training = args[:6]
    if training or not x.is_floating_point() or any(v is not None and v.shape != x.shape[1:2] for v in vectors):
        return None
    empty = [torch.empty(0, dtype=x.dtype, device="meta") for _ in range(2)]
    out = _like(x)
    return None if out is None else (out, *empty)


def _layer_norm(mode: FakeTensorMode, func: Any, args: tuple) -> Any:
    x, shape, *vectors = args[:4]
    last = x.shape[x.dim() - len(shape) :]
    if last != tuple(shape) or any(v is not None and v.shape != last for v in vectors):
        return None
    if any(v is not None and v.dtype != x.dtype for v in vectors):
        return None
    statistics = (*x.shape[: x.dim() - len(shape)], *(1 for _ in shape))
    out = torch.empty(x.shape, dtype=x.dtype, device="meta")  # contiguous, whatever x is
    return (out, *(torch.empty(statistics, dtype=x.dtype, device="meta") for _ in range(2)))


def _addmm(mode: FakeTensorMode, func: Any, args: tuple) -> Any:
    bias, left, right = args
    if bias.dtype != left.dtype or bias.shape != right.shape[1:]:
        return None
    return _mm(mode, func, (left, right))


def _mm(mode: FakeTensorMode, func: Any, args: tuple) -> Any:
    left, right = args
    if left.dtype != right.dtype or left.dim() != 2 or right.dim() != 2 or left.shape[1] != right.shape[0]:
        return None
    return torch.empty(left.shape[0], right.shape[1], dtype=left.dtype, device="meta")


def _bmm(mode: FakeTensorMode, func: Any, args: tuple) -> Any:
    left, right = args
    if left.dtype != right.dtype or left.dim() != 3 or right.dim() != 3:
        return None
    if left.shape[0] != right.shape[0] or left.shape[2] != right.shape[1]:
        return None
    return torch.empty(left.shape[0], left.shape[1], right.shape[2], dtype=left.dtype, device="meta")


def _cat(mode: FakeTensorMode, func: Any, args: tuple) -> Any:
    parts, dim = args[0], args[1] if len(args) > 1 else 0
    first = parts[0]
    for part in parts:
        if part.dtype != first.dtype or part.dim() != first.dim() or not part.is_contiguous():
            return None
    dim %= first.dim()
    if any(part.shape[:dim] != first.shape[:dim] or part.shape[dim + 1 :] != first.shape[dim + 1 :] for part in parts):
        return None
    shape = (*first.shape[:dim], sum(part.shape[dim] for part in parts), *first.shape[dim + 1 :])
    return torch.empty(shape, dtype=first.dtype, device="meta")


def _convolution(mode: FakeTensorMode, func: Any, args: tuple) -> Any:
    x, weight = args[:2]
    return _by_kernel(mode, func, args) if x.is_contiguous() and weight.is_contiguous() else None


_VIEWS = """
view.default _unsafe_view.default t.default transpose.int permute.default expand.default unsqueeze.default
squeeze.dim squeeze.dims select.int slice.Tensor split.Tensor split_with_sizes.default unbind.int detach.default
alias.default
"""
_UNARY = "relu.default gelu.default silu.default sigmoid.default tanh.default hardtanh.default hardswish.default"
_UNARY += " hardsigmoid.default _softmax.default"
_WRITTEN = "relu_.default silu_.default hardtanh_.default hardswish_.default hardsigmoid_.default sigmoid_.default"
_BINARY = "add.Tensor sub.Tensor mul.Tensor div.Tensor"


def _overloads(names: str) -> list[Any]:
    return [getattr(getattr(aten, name.split(".")[0]), name.split(".")[1]) for name in names.split()]


Answer = Callable[[FakeTensorMode, Any, tuple], Any]
_ANSWERS: dict[Any, Answer] = {
    **dict.fromkeys(_overloads(_VIEWS), _by_kernel),
    **dict.fromkeys(_overloads(_UNARY), _unary),
    **dict.fromkeys(_overloads(_WRITTEN), _in_place),
    **dict.fromkeys(_overloads(_BINARY), _binary),
    aten.native_batch_norm.default: _batch_norm,
    aten.native_layer_norm.default: _layer_norm,
    aten.addmm.default: _addmm,
    aten.mm.default: _mm,
    aten.bmm.default: _bmm,
    aten.cat.default: _cat,
    aten.convolution.default: _convolution,
}
