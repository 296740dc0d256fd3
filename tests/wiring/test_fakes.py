"""The shortcuts past FakeTensorMode give what the real operations give: shape, strides, dtype, device, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensor

from netsmith.wiring.fakes import _ANSWERS, Shortcuts, fake_like, fake_mode


def rand(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(*shape).to(dtype)


IMAGE, LAST = rand(2, 6, 8, 8), rand(2, 6, 8, 8).to(memory_format=torch.channels_last)
SWAPPED, SLICED = rand(4, 3, 5).transpose(0, 2), rand(4, 6, 5)[:, ::2]
VECTOR = rand(6)

CASES: dict[str, tuple[Callable[..., Any], list[torch.Tensor]]] = {
    "relu": (F.relu, [IMAGE]),
    "relu of channels last": (F.relu, [LAST]),
    "relu of a transposed tensor": (F.relu, [SWAPPED]),
    "relu of a strided slice": (F.relu, [SLICED]),
    "relu in place": (lambda x: F.relu_(x), [IMAGE.clone()]),
    "gelu": (F.gelu, [SWAPPED]),
    "gelu, tanh": (lambda x: F.gelu(x, approximate="tanh"), [IMAGE]),
    "softmax": (lambda x: x.softmax(-1), [SWAPPED]),
    "softmax of half in float": (lambda x: torch.softmax(x, -1, dtype=torch.float32), [IMAGE.half()]),
    "clone": (torch.clone, [SWAPPED]),
    "contiguous": (lambda x: x.contiguous(), [SWAPPED]),
    "contiguous, channels last": (lambda x: x.contiguous(memory_format=torch.channels_last), [IMAGE]),
    "pow": (lambda x: x.pow(2), [SLICED]),
    "pow of integers": (lambda x: x.pow(2), [torch.arange(5)]),
    "sigmoid of integers": (torch.sigmoid, [torch.arange(5)]),
    "add": (torch.add, [IMAGE, IMAGE]),
    "add, other strides": (torch.add, [IMAGE, LAST]),
    "add, both channels last": (torch.add, [LAST, LAST]),
    "add, broadcast": (torch.add, [IMAGE, rand(8, 1)]),
    "add, broadcast both": (torch.add, [rand(4, 1, 5), rand(3, 1)]),
    "add, other dtype": (torch.add, [IMAGE, IMAGE.half()]),
    "add, integers": (torch.add, [torch.arange(5), torch.arange(5)]),
    "add to integers": (torch.add, [torch.arange(5), rand(5)]),
    "add a number": (lambda x: x + 1, [SWAPPED]),
    "add a complex number": (lambda x: x + 1j, [IMAGE]),
    "add with a factor": (lambda x, y: torch.add(x, y, alpha=2), [IMAGE, IMAGE]),
    "add, shapes that do not fit": (torch.add, [rand(3, 4), rand(3, 5)]),
    "add in place": (lambda x, y: x.add_(y), [rand(3, 4), rand(4)]),
    "add in place, too large": (lambda x, y: x.add_(y), [rand(4), rand(3, 4)]),
    "divide": (torch.div, [IMAGE, rand(6, 1, 1)]),
    "divide integers": (torch.div, [torch.arange(5), torch.arange(1, 6)]),
    "mean": (lambda x: x.mean((2, 3)), [IMAGE]),
    "mean, kept": (lambda x: x.mean((2, -1), keepdim=True), [IMAGE]),
    "mean of channels last": (lambda x: x.mean((2, 3), keepdim=True), [LAST]),
    "mean of all": (lambda x: x.mean(), [IMAGE]),
    "mean in another dtype": (lambda x: x.mean(1, dtype=torch.float64), [IMAGE]),
    "batch norm": (lambda x, v: F.batch_norm(x, v, v, v, v), [IMAGE, VECTOR]),
    "batch norm of channels last": (lambda x, v: F.batch_norm(x, v, v), [LAST, VECTOR]),
    "batch norm in training": (lambda x: F.batch_norm(x, None, None, training=True), [IMAGE]),
    "batch norm, wrong size": (lambda x, v: F.batch_norm(x, v, v), [IMAGE, rand(5)]),
    "layer norm": (lambda x, v: F.layer_norm(x, (6,), v, v), [rand(2, 3, 6), VECTOR]),
    "layer norm of a transposed tensor": (lambda x: F.layer_norm(x, (4,)), [SWAPPED]),
    "layer norm over two": (lambda x: F.layer_norm(x, (8, 8)), [IMAGE]),
    "layer norm, wrong size": (lambda x: F.layer_norm(x, (7,)), [IMAGE]),
    "linear": (F.linear, [rand(3, 6), rand(4, 6), rand(4)]),
    "linear, wrong size": (F.linear, [rand(3, 5), rand(4, 6), rand(4)]),
    "matrix products": (torch.matmul, [rand(2, 3, 4), rand(2, 4, 5)]),
    "matrix products of many": (torch.matmul, [rand(2, 3, 3, 4), rand(2, 3, 4, 5)]),
    "matrix product, wrong size": (torch.mm, [rand(3, 4), rand(3, 4)]),
    "cat": (lambda x, y: torch.cat([x, y], 1), [IMAGE, rand(2, 3, 8, 8)]),
    "cat, last": (lambda x, y: torch.cat([x, y], -1), [IMAGE, IMAGE]),
    "cat of channels last": (lambda x, y: torch.cat([x, y], 1), [LAST, LAST]),
    "cat of dtypes": (lambda x, y: torch.cat([x, y]), [VECTOR, VECTOR.half()]),
    "cat, wrong size": (lambda x, y: torch.cat([x, y], 0), [IMAGE, rand(2, 3, 8, 8)]),
    "convolution": (lambda x, w: F.conv2d(x, w, stride=2, padding=1), [IMAGE, rand(4, 6, 3, 3)]),
    "grouped convolution": (lambda x, w: F.conv2d(x, w, groups=6), [IMAGE, rand(6, 1, 3, 3)]),
    "transposed convolution": (lambda x, w: F.conv_transpose2d(x, w, stride=2), [IMAGE, rand(6, 4, 3, 3)]),
    "convolution, wrong size": (F.conv2d, [IMAGE, rand(4, 5, 3, 3)]),
    "convolution in one dimension": (F.conv1d, [rand(2, 6, 9), rand(4, 6, 3)]),
    "views": (lambda x: x.permute(0, 2, 3, 1).flatten(1, 2)[:, ::2, 1:3].unsqueeze(0).expand(3, -1, -1, -1), [IMAGE]),
    "view that is not possible": (lambda x: x.view(-1), [SWAPPED]),
    "parts": (lambda x: x.chunk(3, 1)[1], [IMAGE]),
    "unbound": (lambda x: x.reshape(2, 3, 2, 8, 8).permute(1, 0, 2, 3, 4).unbind(0)[2], [IMAGE]),
    "new and empty": (lambda x: x.new_empty(3, 4), [IMAGE]),
    "a constant's value": (lambda x: x[: int(torch.tensor(3) * 2)], [VECTOR]),
}


@pytest.mark.parametrize("case", CASES)
def test_like_the_real_operation(case: str) -> None:
    function, tensors = CASES[case]
    with torch.no_grad():
        expected = described(function, tensors)
        mode = fake_mode()
        with mode, Shortcuts(mode):
            got = described(function, [fake_like(mode, t) for t in tensors])
    assert got == expected


def described(function: Callable[..., Any], tensors: list[torch.Tensor]) -> Any:
    """Shape, strides, dtype and device of the result, or that it raises."""
    try:
        out = function(*(tensors if any(isinstance(t, FakeTensor) for t in tensors) else [t.clone() for t in tensors]))
    except (RuntimeError, ValueError):
        return "raises"
    strides = [stride for size, stride in zip(out.shape, out.stride(), strict=True) if size > 1]
    return tuple(out.shape), strides, out.dtype, out.device.type


@given(st.permutations(range(4)), st.lists(st.sampled_from([1, 2, 3]), min_size=4, max_size=4), st.integers(0, 4))
@settings(max_examples=60, deadline=None)
def test_elementwise_functions_keep_any_order_of_strides(order: list[int], shape: list[int], broadcast: int) -> None:
    left = torch.rand(*shape).permute(*order)
    right = torch.rand(left.shape[broadcast:])
    for function in (lambda x, y: x.exp(), torch.mul, lambda x, y: y + x):
        mode = fake_mode()
        with torch.no_grad():
            expected = described(function, [left, right])
            with mode:  # torch's own fakes may order strides otherwise where a size is 1
                own = described(function, [fake_like(mode, left), fake_like(mode, right)])
            with mode, Shortcuts(mode):
                assert described(function, [fake_like(mode, left), fake_like(mode, right)]) in (expected, own)


def test_the_shortcuts_are_taken() -> None:
    """Each answer is used by some case above: none is dead."""
    used: set[Any] = set()

    class Noted(Shortcuts):
        def _wrapped(self, out: Any, device: torch.device) -> Any:
            used.add(self.func)
            return super()._wrapped(out, device)

        def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
            self.func = func
            return super().__torch_dispatch__(func, types, args, kwargs)

    names = "silu sigmoid tanh hardtanh hardswish hardsigmoid neg rsqrt sqrt exp".split()
    more = [(getattr(F, name, None) or getattr(torch, name), [IMAGE]) for name in names]
    more += [(lambda x, n=n: getattr(F, n)(x, inplace=True), [IMAGE]) for n in ("silu", "hardswish", "hardsigmoid")]
    more += [(lambda x: F.hardtanh_(x), [IMAGE]), (lambda x: x.sigmoid_(), [IMAGE]), (torch.bmm, [rand(1, 2, 3)] * 2)]
    more += [(torch.mm, [rand(3, 3)] * 2), (torch.bmm, [rand(2, 3, 3)] * 2), (torch.sub, [IMAGE, IMAGE])]
    more += [(lambda x, y, n=n: getattr(x, n)(y), [IMAGE, IMAGE]) for n in ("sub_", "mul_", "div_", "mul")]
    more += [(lambda x: x.detach().squeeze((0, 1)).squeeze(0).split(2)[0], [rand(1, 1, 4, 2)])]
    more += [
        (lambda x: x.squeeze(0).t().split((1, 3), 0)[1], [rand(1, 3, 4)]),
        (lambda x: x.transpose(0, 1).select(0, 1).pow(2), [rand(1, 3, 4)]),
    ]
    for function, tensors in [*CASES.values(), *more]:
        mode = fake_mode()
        with torch.no_grad(), mode, Noted(mode):
            described(function, [fake_like(mode, t) for t in tensors])
    assert {str(func) for func in set(_ANSWERS) - used} == set()


def test_other_tensors_are_left_to_fake_tensor_mode() -> None:
    mode = fake_mode()
    with torch.no_grad(), mode, Shortcuts(mode):
        constant = torch.tensor(3.0) + 1  # keeps its known value
        assert float(constant) == 4.0
        with pytest.raises(RuntimeError, match="device"):
            _ = fake_like(mode, rand(3)) + torch.empty(3, device="meta")
