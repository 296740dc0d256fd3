"""Reorders the units of axes: the same function, written in another order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ..errors import PlanError
from ..wiring import Wiring, fingerprint, tensor_slots
from ..wiring.collector import no_collections
from ..wiring.copying import copied
from ..wiring.layouts import axis_names, kept_positions


@no_collections()
def permute(model: nn.Module, wiring: Wiring, orders: Mapping[str, Sequence[int]]) -> nn.Module:
    """A new model whose unit i of an axis is the given one's unit ``orders[axis][i]``, in every tensor of the axis.

    Whether the function stays the same is a matter of the axis: see ``combining.permutations``.

    Args:
        model: of the wiring's structure; not changed.
        wiring: of a model of the same structure.
        orders: axis -> every one of its units once.

    Returns:
        A model of the same class, in the same mode, on the same devices; ties between tensors stay.

    Raises:
        PlanError: another structure, an axis that the wiring does not have or that may not change, or an order that is
            no permutation.
        ModelError: the model cannot be copied.
    """
    if fingerprint(model) != wiring.fingerprint:
        raise PlanError("permute: the wiring was made of another structure; trace a model of this one")
    for name, order in orders.items():
        axis = wiring.axis.get(name)
        if axis is None or axis.frozen:
            raise PlanError(f"permute: {name!r} is no axis that may change{f': {axis.frozen}' if axis else ''}")
        if sorted(order) != list(range(axis.size)):
            raise PlanError(f"permute: the order of {name!r} must hold every unit 0..{axis.size - 1} once")
    memo: dict[int, Any] = {}
    with torch.no_grad():
        for slot in tensor_slots(model):
            if id(slot.tensor) in memo:
                continue
            positions = moved_positions(wiring, slot.name, orders)
            if positions:
                memo[id(slot.tensor)] = _reordered(slot.tensor, positions)
            elif not slot.tensor.is_leaf:  # computed by a hook of weight_norm: deepcopy refuses it
                memo[id(slot.tensor)] = slot.tensor.detach().clone()
    return copied(model, memo)


def moved_positions(wiring: Wiring, tensor: str, orders: Mapping[str, Sequence[int]]) -> dict[int, list[int]]:
    """Dimension -> where its new positions come from, for the dimensions of a tensor in which an axis is reordered."""
    return {
        dim: kept_positions(layout, wiring.sizes, orders)
        for dim, layout in enumerate(wiring.layouts.get(tensor, ()))
        if any(name in orders for name in axis_names(layout))
    }


def _reordered(tensor: torch.Tensor, positions: Mapping[int, Sequence[int]]) -> torch.Tensor:
    moved = tensor.detach()
    for dim, order in positions.items():
        moved = moved.index_select(dim, torch.tensor(order, device=moved.device))
    moved = moved.clone(memory_format=torch.contiguous_format)
    return nn.Parameter(moved, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else moved
