"""The tensors of a network that holds several side by side: each unit belongs to one member."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..errors import ModelError
from ..plans import Plan
from ..wiring.layouts import axis_names, unit_positions

Roles = Mapping[tuple[str, int], str]


def joined_tensor(name: str, members: Sequence[Tensor], shares: Sequence[float], plan: Plan, roles: Roles) -> Tensor:
    """One tensor of the joined network.

    An element whose units all belong to member k is k's own. Where they belong to two members it is zero. Where no
    unit belongs to anyone (a bias of the outputs) it is the members' mean. Where only units that are summed over belong
    to k (weights that read the last hidden layer) it is k's, times k's share: there the members meet.

    Args:
        name: of the tensor, one of ``plan.layouts``.
        members: that tensor of each of the K models, in order.
        shares: of each model in the mean, positive, with sum 1.
        plan: widens every axis it changes K times, copy after copy.
        roles: (tensor, dimension) -> "producer", "pointwise" or "consumer".

    Returns:
        A tensor of the shape after the plan and the first member's dtype.

    Raises:
        ModelError: a dimension in which two widened axes meet, so that a position would belong to two members.
    """
    taken, owners = plan.taken(name), _owners(name, plan)
    shape = plan.shape_after(name)
    first = members[0].detach()
    wide = torch.zeros(shape, dtype=torch.promote_types(first.dtype, torch.float32), device=first.device)
    summed = [dim for dim in owners if roles.get((name, dim)) == "consumer"]
    for k, (own, share) in enumerate(zip(members, shares, strict=True)):
        values = own.detach().to(wide)
        places: list[Tensor] = []
        alone: list[Tensor] = []
        outside: list[Tensor] = []
        for dim, size in enumerate(shape):
            owner = owners.get(dim, torch.full((size,), -1))
            places.append(((owner == k) | (owner < 0)).nonzero()[:, 0])
            positions = torch.tensor(taken[dim])[places[-1]] if dim in taken else places[-1]
            values = values.index_select(dim, positions.to(values.device))
            view = [-1 if d == dim else 1 for d in range(len(shape))]
            free = (owner[places[-1]] < 0).reshape(view)
            alone.append(free)
            outside += [] if dim in summed else [free]
        nobody = _all(alone, values)  # true where no unit is anyone's
        met = _all(outside, values)  # true where only summed units are someone's
        values = values * torch.where(nobody | met, share, 1.0).to(values)
        for dim, there in enumerate(places):
            if len(there) < shape[dim]:
                grown = [*values.shape[:dim], shape[dim], *values.shape[dim + 1 :]]
                values = values.new_zeros(grown).index_copy_(dim, there.to(values.device), values)
        wide += values
    return wide.to(first.dtype)


def _all(conditions: Sequence[Tensor], like: Tensor) -> Tensor:
    found = torch.ones((), dtype=torch.bool)
    for each in conditions:
        found = found & each
    return found.to(like.device)


def _owners(name: str, plan: Plan) -> dict[int, Tensor]:
    """Dimension -> for each position after the plan the member that it belongs to, -1 for none."""
    wider = {edit.axis: edit.size for edit in plan.widenings}
    found = {}
    for dim, layout in enumerate(plan.layouts[name]):
        axes = [axis for axis in dict.fromkeys(axis_names(layout)) if axis in wider]
        if not axes:
            continue
        owner = torch.full((plan.shape_after(name)[dim],), -1)
        for axis in axes:
            units = unit_positions(layout, plan.new_sizes, axis)
            for unit, positions in enumerate(units):
                k = unit // wider[axis]
                if any(int(owner[p]) not in (-1, k) for p in positions):
                    raise ModelError(
                        f"{name}: in dimension {dim} units of {', '.join(axes)} meet at one position, so they cannot "
                        "belong to different members; these models cannot be joined"
                    )
                owner[positions] = k
        found[dim] = owner
    return found
