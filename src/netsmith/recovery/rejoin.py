"""Lets what remains after a cut take over what the cut blocks did.

A block that is gone leaves its input where its result should be. The stretch before it is fitted towards that result,
each later one towards what it gave in the original, so that errors are met where they arise and do not add up. All is
least squares on unlabelled data, stretch by stretch (see ``refine``); nothing is propagated through the whole network.

Source: block-wise reconstruction as in Li et al., ICLR 2021, arXiv:2102.05426 (BRECQ), here across a removed block.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

from ..data.freed_memory import freed_memory_kept
from ..data.running import eval_mode
from ..errors import EvidenceError, PlanError
from ..evidence import calibration_batches, device_of
from ..evidence.masks import Mask
from ..plans import MergeBlocks, Plan
from ..plans.depth import blocks_gone
from ..surgery import apply
from ..wiring import Wiring, trace
from ..wiring.trace import as_run
from ..wiring.without import ZEROS, Gone, matched_calls
from .refits import downstream_calls, refits_among
from .repaired import Repaired
from .segments import Segment, elements, narrow_points
from .stretches import Progress, Stretch, fit_stretches, held_out_divergence

_NOISE = 1e-7  # of a divergence, in float32


@freed_memory_kept()
def rejoin(
    wiring: Wiring,
    plan: Plan,
    data: Iterable[Any],
    *,
    steps: int = 16,
    most_examples: int = 1024,
    strength: float = 1e-2,
    most_stretches: int | None = None,
    mask: Mask | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Repaired:
    """Carry out a plan of block edits, and fit the layers around and behind the cut blocks.

    Args:
        wiring: of the original model.
        plan: from ``plan_cut`` or ``plan_blocks``, for that model.
        data: unlabelled calibration batches, each ``x`` or ``(x, y)``; labels are not looked at.
        steps: for each stretch, at most.
        most_examples: examples used at most; stretches with many positions an example make do with fewer.
        strength: ridge penalty towards the weights as they are, as a share of the mean input variance.
        most_stretches: fit only so many, the first ones; None: all to the end.
        mask: inputs -> (examples, positions), false or 0 where padding is, which then does not count; e.g.
            ``lambda x: x["attention_mask"]``.
        seed: of everything drawn at random.
        progress: called with (stretches done, stretches in all, name of the first layer).

    Returns:
        The repaired model and its plan; ``errors`` maps the first layer of each stretch to its held-out squared error
        before and after. If in the end the outputs on the held-out batch have not come nearer to the original's,
        everything is undone.

    Raises:
        PlanError: the plan changes no blocks, or has plans before it.
        EvidenceError: empty data, values that are not finite, or a forward whose path depends on values.
    """
    if not plan.block_edits or plan.before:
        raise PlanError("rejoin repairs after a plan of block edits for the traced model, without plans before it")
    batches = calibration_batches(data, most_examples=most_examples, device=device_of(wiring.model))
    plain = apply(wiring.model, plan).eval()
    model = copy.deepcopy(plain)
    original = as_run(wiring, batches[0])
    edited = as_run(trace(model, wiring.example_inputs), batches[0])
    stretches = _stretches(original, edited, plan)[:most_stretches]
    with eval_mode(wiring.model):
        errors, refitted = fit_stretches(
            original,
            edited,
            model,
            stretches,
            batches,
            lambda _, result: result.detach(),
            steps=steps,
            strength=strength,
            mask=mask,
            seed=seed,
            progress=progress,
        )
        judged = held_out_divergence(wiring.model, [plain, model], batches)
    if judged and not judged[1] < judged[0] - _NOISE:
        return Repaired(plain, plan, {})
    return Repaired(model, plan.with_refitted(refitted), errors)


def _stretches(original: Wiring, edited: Wiring, plan: Plan) -> list[Stretch]:
    """From the stretch before the first cut on, in order."""
    gone = blocks_gone(original, plan.block_edits)
    numbers = matched_calls(original, edited.model, gone, plan.renamed)
    if numbers is None:
        raise EvidenceError("forward takes another path with this data than with the example inputs")
    back = {new: old for old, new in numbers.items()}
    every = refits_among(edited, range(len(edited.calls)))
    points = [p for p in narrow_points(edited, downstream_calls(edited, {r.call for r in every})) if p in back]
    start = min(_start(g, numbers, points) for g in gone)
    merged = {edit.into for edit in plan.block_edits if isinstance(edit, MergeBlocks)}
    entries = [numbers.get(b.entry.call, -1) for b in original.blocks if b.name in merged]
    start = min([start, *entries])  # a block into which others were merged is fitted as well
    stretches, pending = [], []
    refits = [r for r in every if r.call > start]
    for i, refit in enumerate(refits):
        pending.append(refit)
        following = refits[i + 1].call if i + 1 < len(refits) else len(edited.calls)
        between = [p for p in points if refit.call <= p < following]
        if between:  # the shortest stretches: over a longer one the layers do not find what the block gave
            end = max(between, key=lambda p: (elements(edited, p), p))
            stretches.append(Stretch(Segment(end, tuple(pending)), wanted_of(gone, back[end])))
            pending = []
    return stretches


def _start(gone: Gone, numbers: dict[int, int], points: Sequence[int]) -> int:
    """The point behind which a gone block first changes anything, or could be made up for."""
    if gone.stand_in == ZEROS:  # one point back: what comes before may take over what the branch added
        entry = max((p for p in points if p < numbers[gone.block.result.call]), default=-1)
    else:
        entry = numbers.get(gone.block.entry.call, -1)
        if gone.stand_in:
            return entry
    return max((p for p in points if p < entry), default=-1)


def wanted_of(gone: Sequence[Gone], call: int) -> int:
    """What the original gives to those who read this call's result, now that blocks behind it are gone."""
    results = {g.block.entry.call: g.block.result.call for g in gone if not g.stand_in and g.block.entry.kind == "call"}
    while call in results:
        call = results[call]
    return call
