"""A structure -> plans one after the other, each repaired, with weights from the parent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..evidence.masks import Mask
from ..plans import Plan, plan_blocks, plan_growth, plan_precision
from ..plans.widths import plan_for, proven_sizing
from ..recovery import Repaired, compensate, recalibrate, refine, rejoin, round_weights
from ..surgery import apply
from ..wiring import Wiring, trace
from .problem import menu_sizes
from .space import Menus
from .structure import Structure, renamed_axes


def realized(
    wiring: Wiring,
    menus: Menus,
    chosen: Structure,
    ranks: Mapping[str, Sequence[int]],
    data: Iterable[Any],
    *,
    round_to: int | None = None,
    finely: bool = False,
    mask: Mask | None = None,
    seed: int = 0,
) -> Repaired:
    """Cut, prune and widen a copy of the original as a structure says, with closed-form repair after each; no integers.

    Args:
        wiring: of the original.
        menus: what the structure was chosen from.
        chosen: the structure; ``precision`` is left to ``as_integers``, because integers cannot be trained.
        ranks: axis -> its units, those that stay longest first.
        data: unlabelled calibration batches.
        round_to: as in the space.
        finely: also refit the layers of each stretch together (``refine``), which takes several times as long.
        mask, seed: as in ``compensate``.

    Returns:
        The model and the plan that makes its structure out of the original; its ``left`` names axes that a twin did
        not run with as promised.

    Raises:
        PlanError: the blocks cannot go together. EvidenceError: as ``compensate``.
    """
    here, names = wiring, {name: name for name in wiring.sizes}
    done = Repaired(wiring.model, Plan((), {}, {}, {}, wiring.fingerprint), {})
    if chosen.cut:
        plan = plan_blocks(wiring, [menus.blocks[block] for block in chosen.cut])
        done = rejoin(wiring, plan, data, mask=mask, seed=seed)
        here = trace(done.model, wiring.example_inputs)
        names = renamed_axes(wiring, plan, here)
    narrower: dict[str, int] = {}
    wider: dict[str, int] = {}
    for menu in menus.widths:
        width = dict(chosen.widths).get(menu.name, menu.full)
        if width != menu.full and all(axis in names for axis in menu.axes):
            sizes = menu_sizes(wiring, menu, width, round_to)
            (narrower if width < menu.full else wider).update({names[axis]: n for axis, n in sizes.items()})
    if narrower:
        plan = plan_of_widths(here, narrower, {names[a]: units for a, units in ranks.items() if a in names})
        if plan.edits:
            pruned = compensate(here, plan, data, mask=mask, seed=seed)
            pruned = refine(here, pruned, data, mask=mask, seed=seed) if finely else pruned
            done = Repaired(pruned.model, pruned.plan.after(done.plan) if done.plan.edits else pruned.plan, {})
    if done.plan.edits:
        done = recalibrate(wiring.model, done.model, done.plan, data)
    if wider:
        here = trace(done.model, wiring.example_inputs)
        offered = {axis.name for axis in here.axes}
        plan = plan_growth(here, widen={name: n for name, n in wider.items() if name in offered}, seed=seed)
        if plan.edits:
            joined = plan.after(done.plan) if done.plan.edits else plan
            done = Repaired(apply(here.model, plan).eval(), joined, {})
    return done


def plan_of_widths(wiring: Wiring, targets: Mapping[str, int], ranks: Mapping[str, Sequence[int]]) -> Plan:
    """The proven plan that narrows axes, keeping their units of the highest rank."""
    sizing, left = proven_sizing(wiring, targets)
    chosen = {n: ranks[n][:size] for n, size in sizing.sizes.items() if size != wiring.sizes[n]}
    return plan_for(wiring, sizing, chosen, left)


def as_integers(done: Repaired, scheme: str, example_inputs: Any, data: Iterable[Any], mask: Mask | None) -> Repaired:
    """The model with its weights stored as integers, rounded by GPTQ."""
    wiring = trace(done.model, example_inputs)
    plan = plan_precision(wiring, scheme=scheme)  # type: ignore[arg-type]
    if not plan.precisions:
        return done
    rounded = round_weights(wiring, plan, data, mask=mask)
    joined = rounded.plan.after(done.plan) if done.plan.edits else rounded.plan
    return Repaired(rounded.model, joined, {})
