"""Folding: removed units are merged with the most similar unit that stays, instead of being dropped.

The structure is that of removal: the plan keeps the same units. What makes a kept unit becomes the mean over its
cluster, what reads it the sum; so a cluster of equal units is folded without any loss.

Sources: Wang et al., ICLR 2025, arXiv:2502.10216 (model folding by k-means of channels); its variance repair is left
to ``recalibrate`` and ``compensate``. What it is worth is measured in benchmarks/merging.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import torch

from ..errors import UnknownNameError
from ..evidence import Weights
from ..plans import Plan
from ..surgery import apply
from ..wiring import Wiring, tensor_slots
from ..wiring.layouts import axis_names, unit_positions
from .repaired import Repaired

_ROUNDS = 20  # of k-means at most


@dataclass(frozen=True)
class Folding:
    """Which kept unit takes over each unit.

    Attributes:
        plan: the removal.
        into: axis -> for each unit, the place of its cluster among the kept units; (axis.size,) integers.
        roles: (tensor, dimension) -> "producer", "pointwise" or "consumer".
    """

    plan: Plan
    into: Mapping[str, torch.Tensor]
    roles: Mapping[tuple[str, int], str]

    def places(self, tensor: str, dim: int) -> torch.Tensor | None:
        """For each position along a dimension of the original, the kept position that takes it over, or -1.

        None where no folded axis lies in the dimension.
        """
        layout = self.plan.layouts[tensor][dim]
        axes = [name for name in dict.fromkeys(axis_names(layout)) if name in self.into]
        if not axes:
            return None
        kept = self.plan.kept(tensor)[dim]
        found = torch.full((self.plan.shape_before(tensor)[dim],), -1)
        found[kept] = torch.arange(len(kept))
        for axis in axes:
            positions = torch.tensor(unit_positions(layout, self.plan.sizes, axis))  # (units, positions a unit)
            takers = torch.tensor(self.plan.keep()[axis])[self.into[axis]]
            found[positions.flatten()] = found[positions[takers].flatten()]
        return found

    def folded(self, tensor: str, dim: int, values: torch.Tensor, along: int, mean: bool) -> torch.Tensor | None:
        """Means or sums over clusters, along one dimension of values laid out as a dimension of a tensor is."""
        places = self.places(tensor, dim)
        if places is None:
            return None
        there = (places >= 0).nonzero()[:, 0]
        index = places[there].to(values.device)
        shape = list(values.shape)
        shape[along] = int(places.max()) + 1
        total = values.new_zeros(shape).index_add_(along, index, values.index_select(along, there.to(values.device)))
        if not mean:
            return total
        counts = torch.bincount(index, minlength=shape[along]).to(values)
        return total / counts.reshape(-1, *[1] * (values.dim() - along - 1))


def fold(wiring: Wiring, plan: Plan, *, axes: Collection[str] | None = None) -> Repaired:
    """Carry out a plan of removals, folding what is removed into what stays. Needs no data.

    Folded are axes that parameters read and over which nothing takes a statistic, none in one dimension with another
    that changes; on others units are removed.

    Args:
        wiring: of the original model.
        plan: of removals, for that model.
        axes: names of those to fold; None: all that can be.

    Raises:
        UnknownNameError: an axis that the plan does not change.
    """
    return carry_out_folding(wiring, clusters(wiring, plan, axes=axes))


def clusters(wiring: Wiring, plan: Plan, *, axes: Collection[str] | None = None) -> Folding:
    """k-means of the weights that belong to each unit, begun at the units that stay, each of which keeps its cluster.

    Every tensor counts alike, whatever its scale. Raises as ``fold``.
    """
    keep = plan.keep()
    unknown = [name for name in axes or () if name not in keep]
    if unknown:
        raise UnknownNameError(f"the plan does not change axis {unknown[0]!r}; it changes {', '.join(list(keep)[:6])}")
    roles = {(m.tensor, m.dim): m.role for name in keep for m in wiring.axis[name].members}
    weights = Weights({slot.name: slot.tensor for slot in tensor_slots(wiring.model)})
    shared = {
        name
        for layouts in plan.layouts.values()
        for layout in layouts
        if len(changed := set(axis_names(layout)) & set(keep)) > 1
        for name in changed
    }
    into = {}
    for edit in plan.resizes:
        axis = wiring.axis[edit.axis]
        read = any(m.role == "consumer" and m.trainable for m in axis.members)
        if (axes is not None and edit.axis not in axes) or not read or edit.statistics or edit.axis in shared:
            continue
        made = replace(axis, members=tuple(m for m in axis.members if m.role != "consumer"))
        parts = [rows.double() / rows.double().norm().clamp_min(1e-12) for rows in weights.per_unit(made)]
        if parts:
            into[edit.axis] = _kmeans(torch.cat(parts, 1), torch.tensor(edit.keep)).cpu()
    return Folding(plan, into, roles)


@torch.no_grad()
def carry_out_folding(wiring: Wiring, folding: Folding) -> Repaired:
    """The edited model with folded weights, and the plan that lists them as refitted."""
    model = apply(wiring.model, folding.plan).eval()
    originals = {slot.name: slot.tensor for slot in tensor_slots(wiring.model)}
    changed, seen = set(), set()
    for slot in tensor_slots(model):
        if slot.name not in folding.plan.layouts or id(slot.tensor) in seen or not slot.tensor.is_floating_point():
            continue
        seen.add(id(slot.tensor))
        values = originals[slot.name].detach()
        kept = folding.plan.kept(slot.name)
        for dim, positions in kept.items():
            role = folding.roles.get((slot.name, dim), "pointwise")
            folded = folding.folded(slot.name, dim, values, dim, mean=role != "consumer")
            if folded is None:
                folded = values.index_select(dim, torch.tensor(positions, device=values.device))
            else:
                changed.add(slot.name)
            values = folded
        slot.tensor.copy_(values)
    return Repaired(model, folding.plan.with_refitted(changed), {})


def _kmeans(features: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """features (n, d), keep (k,) -> for each row the number of its cluster; row keep[j] stays in cluster j."""
    own = torch.arange(len(keep), device=features.device)
    centres = features[keep]
    found = torch.full((len(features),), -1, device=features.device)
    for _ in range(_ROUNDS):
        nearest = torch.cdist(features, centres).argmin(1)
        nearest[keep] = own
        if torch.equal(nearest, found):
            break
        found = nearest
        centres = torch.zeros_like(centres).index_add_(0, found, features)
        centres /= torch.bincount(found, minlength=len(keep)).unsqueeze(1)
    return found
