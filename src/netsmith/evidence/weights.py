"""Weights as scores see them: one row per unit, whatever the tensor's shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from ..wiring import Axis
from ..wiring.wiring import Member


@dataclass(frozen=True)
class Weights:
    """Current parameter values, by name."""

    tensors: Mapping[str, torch.Tensor]

    def per_unit(self, axis: Axis) -> Iterator[torch.Tensor]:
        """For each parameter of the axis, (axis.size, elements): row u holds the weights tied to unit u."""
        for member in axis.members:
            if member.trainable:
                yield unit_rows(axis, member, self.tensors[member.tensor].detach())


def unit_rows(axis: Axis, member: Member, tensor: torch.Tensor) -> torch.Tensor:
    """(axis.size, elements) of one tensor; gradients pass."""
    rows = tensor.movedim(member.dim, 0)
    if member.layout != (axis.name,):  # one factor or part of the dimension: gather each unit's positions
        positions = torch.tensor(member.positions, device=rows.device)  # (units, positions per unit)
        rows = rows[positions.flatten()]
    return rows.reshape(axis.size, -1)
