"""Weights stored as integers, to and from plain tensors of a safetensors file: four bits two to a byte."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..errors import FileError

_PACKED = "int4"  # a part whose name ends so holds two integers a byte


def parts_of(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """Plain tensors that hold all of a weight stored as integers: "fc.weight:qdata", "fc.weight:scale", ...

    Integers that all lie in -8 ... 7 are packed, whatever they were meant to be: nothing is lost by it.
    """
    inner, _ = tensor.__tensor_flatten__()  # type: ignore[attr-defined]
    parts = {}
    for key in inner:
        part = getattr(tensor, key).detach()
        if part.dtype == torch.int8 and part.numel() and int(part.min()) >= -8 and int(part.max()) <= 7:
            parts[f"{name}:{key}:{_PACKED}"] = packed(part)
        else:
            parts[f"{name}:{key}"] = part
    return parts


def restored(like: Tensor, name: str, tensors: Mapping[str, Tensor], where: str) -> tuple[Tensor, list[str]]:
    """A weight from its parts, and the names of the parts.

    Args:
        like: what ``apply`` made in the weight's place; says which kind of tensor, and its parts' shapes.
        name: of the weight.
        tensors: of the file.
        where: the file, for messages.

    Raises:
        FileError: a part is missing, or of another shape or dtype.
    """
    inner, context = like.__tensor_flatten__()  # type: ignore[attr-defined]
    parts, used = {}, []
    for key in inner:
        expected = getattr(like, key)
        plain, four = f"{name}:{key}", f"{name}:{key}:{_PACKED}"
        used.append(four if four in tensors else plain)
        part = tensors.get(used[-1])
        if part is not None and used[-1] == four:
            fits = part.dtype == torch.uint8 and part.numel() == (expected.numel() + 1) // 2
            part = unpacked(part, expected.shape) if fits else None
        if part is None or part.shape != expected.shape or part.dtype != expected.dtype:
            raise FileError(
                f"{where}: {plain} is missing, or not {tuple(expected.shape)} of {expected.dtype}. Copy the whole "
                "folder again, or save the model again."
            )
        parts[key] = part
    return type(like).__tensor_unflatten__(parts, context, like.shape, like.stride()), used  # type: ignore[attr-defined]


def packed(integers: Tensor) -> Tensor:
    """(ceil(n / 2),) uint8 of n integers in -8 ... 7: the first of two in the low half."""
    flat = (integers.flatten() + 8).to(torch.uint8)
    if flat.numel() % 2:
        flat = torch.cat([flat, flat.new_zeros(1)])
    return flat[::2] | (flat[1::2] << 4)


def unpacked(halves: Tensor, shape: torch.Size) -> Tensor:
    """The inverse of ``packed``."""
    both = torch.stack([halves & 15, halves >> 4], 1).flatten()[: shape.numel()]
    return (both.to(torch.int8) - 8).reshape(shape)
