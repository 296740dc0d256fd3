"""Affine maps that slide over space: what a linear layer, a convolution or an eval-mode normalization computes.

They can be composed and added exactly. Linear layers are convolutions without spatial dimensions; a normalization in
eval mode is a depthwise convolution with a kernel of one element.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import Any

import torch

Ints = tuple[int, ...]


class NotAffine(Exception):
    """What was read is no such map, or cannot be said exactly as one."""


@dataclass(frozen=True)
class Affine:
    """y[o] = Σ weight[o, i, t] · x[i, place·stride - padding + t·dilation] + bias[o], with zeros outside x.

    Attributes:
        weight: (outputs, inputs / groups, *kernel) float64; transposed: (inputs, outputs / groups, *kernel).
        bias: (outputs,) float64; None is no bias at all, which zeros around an input do not disturb.
        stride, padding, dilation: one number a spatial dimension.
        groups: in which inputs and outputs fall.
        transposed: a transposed convolution.
        output_padding: of a transposed convolution.
        open: something that is no number pads its input (a padding that depends on the size of the image).
        unchanged: it is known to change nothing, whatever ``open`` says of its input.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    stride: Ints
    padding: Ints
    dilation: Ints
    groups: int = 1
    transposed: bool = False
    output_padding: Ints = ()
    open: bool = False
    unchanged: bool = False

    @property
    def kernel(self) -> Ints:
        return tuple(self.weight.shape[2:])

    @property
    def outputs(self) -> int:
        return self.weight.shape[1] * self.groups if self.transposed else self.weight.shape[0]

    @property
    def inputs(self) -> int:
        return self.weight.shape[0] if self.transposed else self.weight.shape[1] * self.groups

    @property
    def is_diagonal(self) -> bool:
        """Whether it only scales and shifts each channel."""
        single = all(n == 1 for n in (*self.kernel, *self.stride)) and not any(self.padding)
        return single and not self.transposed and self.inputs == self.outputs == self.groups

    @property
    def is_pointwise(self) -> bool:
        """Whether an output sees one place of the input, nothing pads it and nothing is added."""
        return not self.transposed and all(n == 1 for n in self.kernel) and not any(self.padding) and not self.open


def diagonal(scale: torch.Tensor, bias: torch.Tensor | None, spatial: int) -> Affine:
    """The map that scales and shifts each channel. scale, bias: (channels,)."""
    ones = (1,) * spatial
    weight = scale.double().reshape(-1, 1, *ones)
    return Affine(weight, None if bias is None else bias.double(), ones, (0,) * spatial, ones, len(scale))


def composed(first: Affine, second: Affine) -> Affine:
    """second(first(x)) as one map.

    Raises:
        NotAffine: at the borders it would be another: ``second`` pads a result of ``first`` that is not zero there.
    """
    if first.unchanged:
        return replace(second, open=first.open or second.open)
    if second.open:
        raise NotAffine("a padding that depends on the size lies between the layers")
    if second.is_diagonal:
        return _scaled(first, second)
    if first.transposed or second.transposed:
        raise NotAffine("a transposed convolution is not merged with another layer's kernel")
    inner = any(second.padding)
    if inner and not (first.is_pointwise and first.bias is None):
        raise NotAffine("the second layer pads the first one's result with zeros")
    weight, dilation, groups = _chained(first, second)
    return Affine(
        weight,
        _chained_bias(first, second),
        tuple(a * b for a, b in zip(first.stride, second.stride, strict=True)),
        tuple(p + q * s for p, q, s in zip(first.padding, second.padding, first.stride, strict=True)),
        dilation,
        groups,
        open=first.open,
    )


def added(left: Affine, right: Affine) -> Affine:
    """left(x) + right(x) as one map.

    Raises:
        NotAffine: they step or see otherwise.
    """
    if left.transposed or right.transposed or left.open or right.open or left.outputs != right.outputs:
        raise NotAffine("these two are not added as one kernel")
    if left.stride != right.stride:
        raise NotAffine("the branches have other strides")
    dilation = tuple(b if k == 1 else a for a, b, k in zip(left.dilation, right.dilation, left.kernel, strict=True))
    reach = [_reach(each, dilation) for each in (left, right)]
    padding = tuple(max(a[0], b[0]) for a, b in zip(*reach, strict=True))
    far = tuple(max(a[1], b[1]) for a, b in zip(*reach, strict=True))
    kernel = tuple((p + f) // d + 1 for p, f, d in zip(padding, far, dilation, strict=True))
    groups = math.gcd(left.groups, right.groups)
    total = left.weight.new_zeros(left.outputs, left.inputs // groups, *kernel)
    for each in (left, right):
        if any((p - q) - (f - g) for p, f, (q, g) in zip(padding, far, _reach(each, dilation), strict=True)):
            raise NotAffine("the branches are not centred on one another")
        at = [
            slice((p - q) // d, (p - q) // d + k)
            for p, q, d, k in zip(padding, each.padding, dilation, each.kernel, strict=True)
        ]
        total[(slice(None), slice(None), *at)] += _in_groups(each, groups)
    bias = left.bias if right.bias is None else right.bias if left.bias is None else left.bias + right.bias
    return Affine(total, bias, left.stride, padding, dilation, groups)


def _reach(each: Affine, dilation: Ints) -> list[tuple[int, int]]:
    """How far it sees to either side of a place, per spatial dimension."""
    found = []
    for kernel, padding, own, common in zip(each.kernel, each.padding, each.dilation, dilation, strict=True):
        if (kernel > 1 and own != common) or padding % common:
            raise NotAffine("the branches have other dilations")
        found.append((padding, (kernel - 1) * own - padding))
    return found


def identity(channels: int, spatial: int, device: torch.device) -> Affine:
    """The map that changes nothing."""
    return replace(diagonal(torch.ones(channels, device=device), None, spatial), unchanged=True)


def _scaled(first: Affine, second: Affine) -> Affine:
    """The outputs of ``first`` scaled and shifted."""
    scale = second.weight.flatten()
    if first.transposed:
        per_input = scale.reshape(first.groups, -1).repeat_interleave(first.inputs // first.groups, 0)
        weight = first.weight * per_input.reshape(*per_input.shape, *(1 for _ in first.kernel))
    else:
        weight = first.weight * scale.reshape(-1, *(1 for _ in first.weight.shape[1:]))
    bias = second.bias
    if first.bias is not None:
        bias = first.bias * scale if bias is None else first.bias * scale + bias
    return replace(first, weight=weight, bias=bias)


def _in_groups(each: Affine, groups: int) -> torch.Tensor:
    """The weight of the same map with fewer groups: zeros between those that were apart."""
    if groups == each.groups:
        return each.weight
    joined = each.groups // groups
    out, inner = each.outputs // each.groups, each.inputs // each.groups
    own = each.weight.reshape(groups, joined, out, inner, *each.kernel)
    wide = each.weight.new_zeros(groups, joined, out, joined, inner, *each.kernel)
    for i in range(joined):
        wide[:, i, :, i] = own[:, i]
    return wide.reshape(each.outputs, joined * inner, *each.kernel)


def _chained(first: Affine, second: Affine) -> tuple[torch.Tensor, Ints, int]:
    """Weight, dilation and groups of second(first(x))."""
    if first.is_diagonal:
        scale = first.weight.reshape(second.groups, 1, -1, *(1 for _ in second.kernel))
        own = second.weight.reshape(second.groups, -1, *second.weight.shape[1:])
        return (own * scale).reshape(second.weight.shape), second.dilation, second.groups
    groups = math.gcd(first.groups, second.groups)
    steps = tuple(d * s for d, s in zip(second.dilation, first.stride, strict=True))
    dilation = tuple(
        b if k == 1 else a if m == 1 else math.gcd(a, b)
        for a, b, k, m in zip(first.dilation, steps, first.kernel, second.kernel, strict=True)
    )
    kernel = tuple(
        ((k - 1) * a + (m - 1) * b) // d + 1
        for a, b, k, m, d in zip(first.dilation, steps, first.kernel, second.kernel, dilation, strict=True)
    )
    inner, outer = _in_groups(first, groups), _in_groups(second, groups)
    inner = inner.reshape(groups, -1, *inner.shape[1:])
    outer = outer.reshape(groups, -1, *outer.shape[1:])
    total = inner.new_zeros(groups, outer.shape[1], inner.shape[2], *kernel)
    for t in itertools.product(*(range(k) for k in first.kernel)):
        for u in itertools.product(*(range(m) for m in second.kernel)):
            taps = zip(t, u, first.dilation, steps, dilation, strict=True)
            at: Any = (..., *((i * a + j * b) // d for i, j, a, b, d in taps))
            here: Any = ((..., *u), (..., *t))
            total[at] += torch.bmm(outer[here[0]], inner[here[1]])
    return total.reshape(second.outputs, -1, *kernel), dilation, groups


def _chained_bias(first: Affine, second: Affine) -> torch.Tensor | None:
    if first.bias is None:
        return second.bias
    summed = second.weight.flatten(2).sum(-1) if second.kernel else second.weight
    entering = first.bias.reshape(second.groups, -1).repeat_interleave(second.outputs // second.groups, 0)
    passed = (summed * entering).sum(1)
    return passed if second.bias is None else passed + second.bias
