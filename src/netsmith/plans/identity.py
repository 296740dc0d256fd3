"""Layers that return what they are given, if that was rectified: an identity kernel, and the rectifier again."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from ..errors import PlanError
from ..wiring.slots import tensor_slots
from .edits import InsertIdentity

_LAYERS = {"linear": nn.Linear, "conv1d": nn.Conv1d, "conv2d": nn.Conv2d, "conv3d": nn.Conv3d}
_NORMS = {"linear": nn.BatchNorm1d, "conv1d": nn.BatchNorm1d, "conv2d": nn.BatchNorm2d, "conv3d": nn.BatchNorm3d}


def identity_layer(model: nn.Module, edit: InsertIdentity) -> nn.Sequential:
    """The layer, and a batch normalization and a rectifier where the edit has them, in the mode of what is before it.

    Args:
        model: has the parameter ``edit.like``, of whose dtype and device the new ones are; on "meta" they are too.
        edit: says the rest.

    Raises:
        PlanError: no such parameter, or one of another width.
    """
    like = next((slot.tensor for slot in tensor_slots(model) if slot.name == edit.like), None)
    if like is None or like.dim() == 0 or like.shape[0] != edit.width:
        raise PlanError(f"{type(model).__name__} has no parameter {edit.like!r} of {edit.width} units")
    place: dict[str, Any] = {"device": like.device, "dtype": like.dtype}
    shape = (edit.width, edit.width)
    layer = (
        nn.utils.skip_init(nn.Linear, *shape, **place)
        if edit.kind == "linear"
        else nn.utils.skip_init(
            _LAYERS[edit.kind], *shape, edit.kernel, padding=tuple(k // 2 for k in edit.kernel), **place
        )
    )
    with torch.no_grad():
        (nn.init.eye_ if edit.kind == "linear" else nn.init.dirac_)(layer.weight)
        layer.bias.zero_()
    parts: list[nn.Module] = [layer]
    if edit.norm is not None:
        norm = _NORMS[edit.kind](edit.width, eps=edit.norm, **place)
        with torch.no_grad():
            norm.weight.fill_(math.sqrt(1 + edit.norm))  # its running variance is 1
        parts.append(norm)
    if edit.rectified:
        parts.append(nn.ReLU() if edit.limits is None else nn.Hardtanh(*edit.limits))
    return nn.Sequential(*parts).train(model.get_submodule(edit.block).training)
