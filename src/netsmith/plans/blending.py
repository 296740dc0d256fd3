"""Gives blocks into which others are merged their combined weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ..errors import PlanError
from ..wiring import tensor_slots
from ..wiring.slots import Slot
from .edits import MergeBlocks


def combine(model: nn.Module, edits: Sequence[MergeBlocks]) -> None:
    """Put the combined weights into the blocks that stay.

    No tensor is written: new ones take the places of old ones, which the model may share with another.

    Raises:
        PlanError: two blocks are not alike.
    """
    groups: dict[str, list[MergeBlocks]] = {}
    for edit in edits:
        groups.setdefault(edit.into, []).append(edit)
    for into, merged in groups.items():
        first = slots_of(model, into)
        others = [slots_of(model, edit.block) for edit in merged]
        for name, slot in first.items():
            tensors = [slot.tensor, *(other[name].tensor for other in others if name in other)]
            if len(tensors) <= len(others) or len({t.shape for t in tensors}) > 1:
                raise PlanError(f"{into!r} and {', '.join(e.block for e in merged)} are not alike: {name} differs")
            if slot.tensor.is_floating_point() and merged[0].how != "first":
                slot.holder[slot.key] = _combined(tensors, merged[0].how == "average")


def slots_of(model: nn.Module, path: str) -> dict[str, Slot]:
    """The tensors of a module by their names in it.

    Raises:
        PlanError: there is no such module.
    """
    try:
        return {slot.name: slot for slot in tensor_slots(model.get_submodule(path))}
    except AttributeError:
        raise PlanError(f"{type(model).__name__} has no module {path!r}") from None


@torch.no_grad()
def _combined(tensors: Sequence[torch.Tensor], average: bool) -> torch.Tensor:
    first, trained = tensors[0], isinstance(tensors[0], nn.Parameter)
    total = torch.stack([t.detach().double() for t in tensors]).sum(0)
    # variances and other statistics must not be extrapolated
    made = total / len(tensors) if average or not trained else total - (len(tensors) - 1) * first.detach().double()
    made = made.to(first.dtype)
    return nn.Parameter(made, first.requires_grad) if trained else made
