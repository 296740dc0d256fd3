"""Tensors that hold other tensors: weights stored as integers with scales (torchao)."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass


def is_wrapped(tensor: torch.Tensor) -> bool:
    """Whether the tensor stores integers and scales instead of its own values."""
    return is_traceable_wrapper_subclass(tensor) and hasattr(tensor, "dequantize")


def inner_tensors(tensor: torch.Tensor) -> list[torch.Tensor]:
    """What is really stored: the tensor itself, or the parts of one that holds others."""
    if not is_traceable_wrapper_subclass(tensor):
        return [tensor]
    names, _ = tensor.__tensor_flatten__()
    return [part for name in names for part in inner_tensors(getattr(tensor, name))]


def dequantized(tensor: torch.Tensor) -> torch.Tensor:
    """The floats that integers and scales stand for; an ordinary tensor as it is."""
    return tensor.detach().dequantize() if is_wrapped(tensor) else tensor.detach()


def stored_bytes(tensor: torch.Tensor) -> int:
    """Bytes of what is really stored."""
    return sum(part.numel() * part.element_size() for part in inner_tensors(tensor))
