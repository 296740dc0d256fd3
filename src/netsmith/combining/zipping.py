"""Several trained models of one architecture folded into one of the original widths, by what their units say.

The models are joined into one wider network that computes all of them (``joining``). Of each widened axis the units
that are most alike on data are then merged, within and across the members, until it is as wide as before: what makes a
unit is averaged, what reads it summed. Where only the first layers are zipped the later ones stay side by side. Then
the network is repaired without labels: statistics are recomputed, or (``repair="compensate"``, which goes beyond the
paper) every layer is fitted in closed form to what the joined network gave.

Source: Stoica et al., "ZipIt! Merging Models from Different Tasks without Training", ICLR 2024, arXiv:2305.03053.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, UnknownNameError
from ..evidence import as_data, calibration_batches, device_of
from ..plans import Plan
from ..plans.widths import plan_for, proven_sizing
from ..recovery.compensate import compensate
from ..recovery.folding import Folding, carry_out_folding
from ..recovery.recalibrate import recalibrate
from ..recovery.repaired import Repaired
from ..wiring import Wiring, tensor_slots, trace
from .activation_matching import correlations
from .joining import Joined, join
from .repairing import recompute_statistics
from .unit_matching import match_units

REPAIRS = ("compensate", "statistics", "none")


@dataclass(frozen=True)
class Zipped:
    """Several models in one of about the width of each.

    Attributes:
        model: in eval mode.
        plan: makes it from the first of the models: widened, then folded.
        into: axis -> for each unit of the joined network the unit that it became part of.
        across: axis -> share of the units that hold something of more than one member.
        left: axes of the joined network that stayed as wide as they were there -> why.
        joined: what was folded.
    """

    model: nn.Module
    plan: Plan
    into: Mapping[str, tuple[int, ...]]
    across: Mapping[str, float]
    left: Mapping[str, str]
    joined: Joined


def zip_models(
    models: Sequence[nn.Module],
    example_inputs: Any,
    data: Iterable[Any],
    *,
    weights: Sequence[float] | None = None,
    until: str | None = None,
    repair: str = "compensate",
    within: float = 1.0,
    again: float = 0.3,
    most_examples: int = 1024,
    seed: int = 0,
) -> Zipped:
    """Join models, and fold the network back to their width where units are alike.

    Args:
        models, example_inputs, weights: as for ``join``; the outputs aimed at are the mean of theirs.
        data: unlabelled batches, each ``x`` or ``(x, y)``, of all that the models were trained for.
        until: path of the last module to zip, in call order; what is made behind it stays joined, one part a member.
            None: zip everything.
        repair: "compensate": fit every layer to what the joined network gave, and keep new statistics of batch
            normalizations where they help; "statistics": recompute those, as the paper does; "none".
        within, again: of ``match_units``.
        most_examples: used at most.
        seed: of sampled positions.

    Raises:
        InputError, ModelError: as ``join``; an unknown repair.
        UnknownNameError: no module of the name ``until`` runs.
        EvidenceError: no data, or a forward whose path depends on values.

    Example:
        >>> zipped = netsmith.combining.zip_models([a, b], x, batches)  # doctest: +SKIP
        >>> netsmith.save(zipped.model, "out/zipped", plan=zipped.plan)  # doctest: +SKIP
    """
    if repair not in REPAIRS:
        raise InputError(f"zip_models: repair={repair!r} is unknown; there are {', '.join(map(repr, REPAIRS))}")
    joined = join(models, example_inputs, weights=weights)
    wiring = trace(joined.model, example_inputs)
    batches = calibration_batches(data, most_examples=most_examples, device=device_of(joined.model))
    chosen, left = _chosen(wiring, joined.plan, until)
    alike = correlations(wiring, joined.model, list(chosen), as_data(batches), most_examples=most_examples, seed=seed)
    left |= {name: "no matrix and no convolution reads it, so nothing says which units are alike" for name in chosen}
    left = {name: why for name, why in left.items() if name not in alike}
    targets = {name: chosen[name] for name in alike}
    sizing, failed = proven_sizing(wiring, targets)
    clusters = {
        name: match_units(alike[name], sizing.sizes[name], len(models), within=within, again=again)
        for name in alike
        if sizing.sizes[name] < wiring.axis[name].size
    }
    left |= {name: failed.get(name, "forward demands sizes that contradict it") for name in alike.keys() - clusters}
    plan = plan_for(wiring, sizing, {name: _first_units(each) for name, each in clusters.items()})
    if not plan.edits:
        return Zipped(joined.model, joined.plan, {}, {}, left, joined)
    roles = {(m.tensor, m.dim): m.role for name in clusters for m in wiring.axis[name].members}
    done = _repaired(wiring, Folding(plan, clusters, roles), batches, repair, seed)
    return Zipped(
        done.model,
        done.plan.after(joined.plan),
        {name: tuple(each.tolist()) for name, each in clusters.items()},
        {name: _across(each, len(models)) for name, each in clusters.items()},
        left,
        joined,
    )


def _repaired(wiring: Wiring, folding: Folding, batches: Sequence[Any], repair: str, seed: int) -> Repaired:
    if repair == "compensate":
        fitted = compensate(wiring, folding.plan, as_data(batches), fold=folding, seed=seed)
        return recalibrate(wiring.model, fitted.model, fitted.plan, as_data(batches))
    folded = carry_out_folding(wiring, folding)
    if repair == "none":
        return folded
    recompute_statistics(folded.model, batches)
    kinds = ("running_mean", "running_var", "num_batches_tracked")
    fresh = {slot.name for slot in tensor_slots(folded.model) if slot.name.rpartition(".")[2] in kinds}
    return Repaired(folded.model, folded.plan.with_refitted(fresh), {})


def _chosen(wiring: Wiring, plan: Plan, until: str | None) -> tuple[dict[str, int], dict[str, str]]:
    """Axis -> width before joining, of those to zip; axis -> why not, of the others that are wider."""
    last = len(wiring.calls)
    if until is not None:
        inside = [
            i for i, call in enumerate(wiring.calls) if call.module == until or call.module.startswith(f"{until}.")
        ]
        if not inside:
            modules = dict.fromkeys(call.module for call in wiring.calls if call.module)
            raise UnknownNameError(f"until: no module {until!r} runs; these do: {', '.join(list(modules)[:12])}")
        last = inside[-1]
    makes = {o.name: i for i, call in enumerate(wiring.calls) for o in call.origins if o.kind == "slot"}
    chosen, left = {}, {}
    for edit in plan.widenings:
        axis = wiring.axis.get(edit.axis)
        if axis is None or axis.frozen or axis.size != len(edit.source):
            left[edit.axis] = (axis.frozen if axis is not None else None) or "it hangs together otherwise when joined"
        elif any(makes.get(m.tensor, -1) > last for m in axis.members if m.role == "producer"):
            left[edit.axis] = f"it is made behind {until}"
        else:
            chosen[edit.axis] = edit.size
    return chosen, left


def _first_units(cluster: Tensor) -> list[int]:
    """The first unit of each cluster, ascending."""
    seen: dict[int, int] = {}
    for unit, number in enumerate(cluster.tolist()):
        seen.setdefault(number, unit)
    return list(seen.values())


def _across(cluster: Tensor, members: int) -> float:
    owner = torch.arange(len(cluster)) // (len(cluster) // members)
    count = int(cluster.max()) + 1
    holds = torch.zeros(count, members, dtype=torch.bool)
    holds[cluster, owner] = True
    return float((holds.sum(1) > 1).double().mean())
