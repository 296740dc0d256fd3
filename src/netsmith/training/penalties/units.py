"""The weights tied to each unit of an axis, in the network that is trained."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ...errors import InputError, ModelError
from ...evidence.weights import unit_rows
from ...plans.protection import protected_axes
from ...plans.sizing import changeable_axes
from ...wiring import Axis, Wiring


def regularized_axes(wiring: Wiring, ignore: Iterable[str]) -> list[Axis]:
    """The axes whose units a plan could remove.

    Raises:
        InputError: wiring is none.
        ModelError: there is no such axis.
    """
    if not isinstance(wiring, Wiring):
        raise InputError(f"wiring is a {type(wiring).__name__}; give what trace(model, example_inputs) returns")
    axes = [wiring.axis[name] for name in changeable_axes(wiring, protected_axes(wiring, ignore))]
    if not axes:
        raise ModelError("no axis of this model can change its size, so no unit can be driven to zero")
    return axes


def unit_squares(axis: Axis, parameters: dict[str, nn.Parameter]) -> Tensor:
    """(axis.size,): Σ w² over the weights tied to each unit; gradients pass.

    Raises:
        ModelError: a parameter that the wiring knows is not in the network.
    """
    total = []
    for member in axis.members:
        if member.trainable:
            if member.tensor not in parameters:
                raise ModelError(f"{member.tensor} is no parameter of the network; trace the network that is trained")
            total.append(unit_rows(axis, member, parameters[member.tensor]).float().square().sum(1))
    return torch.stack(total).sum(0)


def weights_per_unit(axis: Axis, parameters: dict[str, nn.Parameter]) -> float:
    """How many weights are tied to a unit, on average."""
    return sum(parameters[m.tensor].numel() / axis.size for m in axis.members if m.trainable)
