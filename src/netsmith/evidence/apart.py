"""Forwards of one model that are under way at the same time, in step or on several threads."""

from __future__ import annotations

from torch import nn

from ..wiring import Wiring, tensor_slots
from ..wiring.copying import copied


def apart(wiring: Wiring, model: nn.Module) -> nn.Module:
    """The model to run a forward with while others run: where forward keeps results in its modules, a copy of the
    modules around the same tensors, else the model itself.

    Args:
        wiring: of the model, or of one like it.
        model: not changed.
    """
    if not wiring.keeps:
        return model
    return copied(model, {id(slot.tensor): slot.tensor for slot in tensor_slots(model)})
