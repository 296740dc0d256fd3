"""Weights as integers with scales: the arithmetic, on ordinary tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..evidence.clipping import CLIPPING, histogram
from .edits import SetPrecision


@dataclass(frozen=True)
class Integers:
    """value = integer · scale, one scale a block of the weight.

    Attributes:
        values: int8, shaped as the weight.
        scale: float32, (outputs, inputs / group, 1, ...): the weight's dimensions divided by the block's.
        block: the shape of a block, (1, group, *kernel).
    """

    values: torch.Tensor
    scale: torch.Tensor
    block: tuple[int, ...]


def block_of(shape: torch.Size | tuple[int, ...], edit: SetPrecision) -> tuple[int, ...]:
    """The shape of what shares one scale."""
    return (1, edit.group or shape[1], *shape[2:])


def scales_of(weight: torch.Tensor, edit: SetPrecision) -> torch.Tensor:
    """Scales by the edit's clipping, as ``Integers.scale``; on ``meta`` for a weight there."""
    block = block_of(weight.shape, edit)
    shape = [n // b for n, b in zip(weight.shape, block, strict=True)]
    if weight.is_meta:
        return torch.empty(shape, device="meta")
    rows = weight.detach().float().reshape(shape[0] * shape[1], -1)
    threshold = CLIPPING[edit.clip](histogram(rows), edit.bits)
    # half a step above the largest integer, as -2^(bits-1) lies half a step further out than 2^(bits-1) - 1
    scale = threshold / (2 ** (edit.bits - 1) - 0.5)
    return torch.where(scale > 0, scale, torch.ones_like(scale)).reshape(shape)


def rounded_to(weight: torch.Tensor, scale: torch.Tensor, edit: SetPrecision) -> Integers:
    """The nearest integers for given scales."""
    block = block_of(weight.shape, edit)
    if weight.is_meta:
        return Integers(torch.empty_like(weight, dtype=torch.int8), scale, block)
    low, high = -(2 ** (edit.bits - 1)), 2 ** (edit.bits - 1) - 1
    found = (weight.detach().float() / spread(scale, block)).round().clamp(low, high)
    return Integers(found.to(torch.int8), scale, block)


def integers_of(weight: torch.Tensor, edit: SetPrecision) -> Integers:
    """The weight as the edit says: scales by its clipping, nearest integers."""
    return rounded_to(weight, scales_of(weight, edit), edit)


def values_of(integers: Integers, like: torch.Tensor) -> torch.Tensor:
    """The floats that integers and scales stand for, in the dtype of ``like``."""
    return (integers.values.float() * spread(integers.scale, integers.block)).to(like.dtype)


def spread(scale: torch.Tensor, block: tuple[int, ...]) -> torch.Tensor:
    """Every scale repeated over its block, for an ordinary product with the weight."""
    return scale.repeat_interleave(block[1], 1) if block[1] > 1 else scale


def bytes_of(shape: torch.Size | tuple[int, ...], edit: SetPrecision) -> int:
    """Bytes in a file: packed integers, and a float32 a scale."""
    elements = 1
    for n in shape:
        elements *= n
    blocks = elements
    for b in block_of(shape, edit):
        blocks //= b
    return (elements * edit.bits + 7) // 8 + 4 * blocks
