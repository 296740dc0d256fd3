"""Single weights at zero: set and counted. ``training.keep_zeros`` holds them there while a network is trained."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from ..wiring import tensor_slots

Zeros = Mapping[str, torch.Tensor]
"""Name of a tensor -> booleans of its shape: true where it is zero."""


def set_zeros(model: nn.Module, zeros: Zeros) -> None:
    """Set weights of a model of one's own to zero, in place; the others keep their bits."""
    with torch.no_grad():
        for slot in tensor_slots(model):
            if slot.name in zeros and not slot.tensor.is_meta:
                slot.tensor.masked_fill_(zeros[slot.name].to(slot.tensor.device), 0)


def count_zeros(model: nn.Module) -> tuple[int, int]:
    """(weights that are zero, weights in all) of the parameters of at least two dimensions; tied ones count once."""
    tensors = {id(slot.tensor): slot.tensor.detach() for slot in tensor_slots(model) if _is_weight(slot.tensor)}
    return sum(int((t == 0).sum()) for t in tensors.values()), sum(t.numel() for t in tensors.values())


def _is_weight(tensor: torch.Tensor) -> bool:
    return isinstance(tensor, nn.Parameter) and tensor.dim() > 1 and tensor.is_floating_point() and not tensor.is_meta
