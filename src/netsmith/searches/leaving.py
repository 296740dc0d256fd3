"""Depth beside widths: what it costs if a residual block goes altogether, and which blocks a budget does without."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch

from ..data.running import eval_mode
from ..errors import BudgetError, PlanError
from ..evidence import calibration_batches, device_of, divergence_of_examples, examples_in, first_output
from ..evidence.masks import Mask, mask_of
from ..plans import RemoveBlock, plan_blocks
from ..plans.protection import protected_tensors
from ..recovery import rejoin
from ..wiring import call_model
from .candidates import candidates, saving
from .curves import Curves, Leaving

Progress = Callable[[int, int, str], None]

_MOST = 0.5  # nats, or share of the outputs' square: without blocks that cost more, no further ones are tried


def measure_blocks(
    curves: Curves,
    data: Iterable[Any],
    *,
    ignore: Iterable[str] = (),
    most_examples: int = 512,
    steps: int = 4,
    mask: Mask | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Curves:
    """The curves, and the divergence from the original without residual blocks, after repair.

    Each block is measured alone, with the stretch of layers before it fitted in a few steps towards what the block gave
    (see ``rejoin``). Then those that cost least for the multiply-accumulates that they save go together, one more at a
    time, with all behind the first fitted: what two blocks cost together is far more than the sum.

    Args:
        curves: of the model, from ``measure_curves``.
        data: unlabelled calibration batches, each ``x`` or ``(x, y)``.
        ignore: name patterns, as in ``plan_removal``; a block that holds a matching tensor stays.
        most_examples: examples used at most: one half to fit, the other to judge.
        steps: of each fit, at most.
        mask: as in ``measure_curves``.
        seed: of everything drawn at random.
        progress: called with (blocks done, blocks in all, name of the block); each counts twice, alone and with others.

    Returns:
        Curves with ``blocks``, for ``allocate``: single ones that no other beats both in error and in what it saves,
        and the sets of one, two … of them.

    Raises:
        InputError, UnknownNameError: an ignore pattern that is no string or matches nothing.
        EvidenceError: empty data, values that are not finite, or a forward whose path depends on values.
    """
    wiring = curves.wiring
    stay = protected_tensors(wiring, ignore)
    able = [e for b, e in candidates(wiring)[0].items() if not any(name.startswith(f"{b}.") for name in stay)]
    batches = calibration_batches(data, most_examples=most_examples, device=device_of(wiring.model))
    seen = sum(map(examples_in, batches[: (len(batches) + 1) // 2]))  # those that nothing is fitted to judge
    judges = batches[(len(batches) + 1) // 2 :] or batches
    counted = [mask_of(mask, inputs) for inputs in judges]
    with eval_mode(wiring.model), torch.no_grad():
        wanted = [first_output(call_model(wiring.model, inputs)) for inputs in judges]
    done = 0

    def without(edits: Sequence[RemoveBlock], most_stretches: int | None) -> float:
        nonlocal done
        plan = plan_blocks(wiring, edits)
        model = rejoin(
            wiring,
            plan,
            data,
            steps=steps,
            most_examples=seen,
            most_stretches=most_stretches,
            mask=mask,
            seed=seed,
        ).model
        with torch.no_grad():
            given = (first_output(call_model(model, inputs)) for inputs in judges)
            error = divergence_of_examples(given, wanted, judges, counted)
        done += 1
        if progress:
            progress(done, 2 * len(able), edits[-1].block)
        return error

    saved = {edit.block: saving(wiring, edit.block, "macs") for edit in able}
    alone = [Leaving((edit,), without([edit], 1)) for edit in able]
    alone.sort(key=lambda each: each.error / saved[each.edits[0].block])
    single: list[Leaving] = []  # those that save more than any that cost less error
    for each in sorted(alone, key=lambda each: each.error):
        if all(saved[each.edits[0].block] > saved[other.edits[0].block] for other in single):
            single.append(each)
    sets = alone[:1]
    for block in alone[1:]:
        if sets[-1].error > _MOST:
            break
        edits = (*sets[-1].edits, *block.edits)
        try:
            sets.append(Leaving(edits, without(edits, None)))
        except PlanError:  # this one cannot go beside the others
            continue
    return replace(curves, blocks=(*(each for each in single if each not in sets), *sets))


def dispensable(curves: Curves, error_without: Callable[[Sequence[RemoveBlock]], float]) -> tuple[RemoveBlock, ...]:
    """The set of blocks without which a budget is kept with the smallest sum of errors; () where all should stay.

    Args:
        curves: with ``blocks``.
        error_without: blocks -> sum of the errors of the widths that keep the budget without them.
    """

    def error(these: Leaving) -> float:
        try:
            return these.error + error_without(these.edits)
        except BudgetError:  # not without more blocks
            return float("inf")

    best: tuple[RemoveBlock, ...] = ()
    least = error(Leaving((), 0.0))
    for these in curves.blocks:
        if these.error < least and (now := error(these)) < least:
            best, least = these.edits, now
    return best
