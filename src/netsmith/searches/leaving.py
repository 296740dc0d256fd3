"""Depth beside widths: what it costs if a residual block goes altogether, and which blocks a budget does without."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch

from ..data.running import eval_mode
from ..errors import BudgetError, PlanError
from ..evidence import calibration_batches, device_of, divergence, examples_in, first_output
from ..evidence.masks import Mask, counted_part, mask_of
from ..plans import RemoveBlock, plan_blocks
from ..plans.protection import protected_tensors
from ..recovery import rejoin
from ..wiring import call_model
from .candidates import candidates, saving
from .curves import Curves, Leaving

Progress = Callable[[int, int, str], None]

_PATIENCE = 2  # blocks in a row that do not pay before no further one is tried


def measure_blocks(
    curves: Curves,
    data: Iterable[Any],
    *,
    ignore: Iterable[str] = (),
    most_examples: int = 256,
    steps: int = 4,
    mask: Mask | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Curves:
    """The curves, and for each residual block the divergence from the original without it, after repair.

    Only the stretch of layers before a block is fitted, in a few steps, towards what the block gave (see ``rejoin``):
    what one axis' curve is to widths, this is to a block.

    Args:
        curves: of the model, from ``measure_curves``.
        data: unlabelled calibration batches, each ``x`` or ``(x, y)``.
        ignore: name patterns, as in ``plan_removal``; a block that holds a matching tensor stays.
        most_examples: examples used at most, to fit and to judge.
        steps: of the fit, at most.
        mask: as in ``measure_curves``.
        seed: of everything drawn at random.
        progress: called with (blocks done, blocks in all, name of the block).

    Returns:
        Curves with ``blocks``, for ``allocate``.

    Raises:
        InputError, UnknownNameError: an ignore pattern that is no string or matches nothing.
        EvidenceError: empty data, values that are not finite, or a forward whose path depends on values.
    """
    wiring = curves.wiring
    stay = protected_tensors(wiring, ignore)
    able = {b: e for b, e in candidates(wiring)[0].items() if not any(name.startswith(f"{b}.") for name in stay)}
    batches = calibration_batches(data, most_examples=most_examples, device=device_of(wiring.model))
    counted = [mask_of(mask, inputs) for inputs in batches]
    with eval_mode(wiring.model), torch.no_grad():
        wanted = [first_output(call_model(wiring.model, inputs)) for inputs in batches]
    found = []
    for name, edit in able.items():
        plan = plan_blocks(wiring, [edit])
        model = rejoin(
            wiring, plan, data, steps=steps, most_stretches=1, most_examples=most_examples, mask=mask, seed=seed
        ).model
        with torch.no_grad():
            errors = [
                examples_in(x)
                * float(divergence(counted_part(w, m), counted_part(first_output(call_model(model, x)), m)))
                for x, w, m in zip(batches, wanted, counted, strict=True)
            ]
        found.append(Leaving(edit, sum(errors) / sum(map(examples_in, batches))))
        if progress:
            progress(len(found), len(able), name)
    return replace(curves, blocks=tuple(found))


def dispensable(
    curves: Curves, error_without: Callable[[Sequence[RemoveBlock]], float], what: str
) -> tuple[RemoveBlock, ...]:
    """The blocks without which a budget is kept with a smaller sum of errors.

    They are tried in turn, those first that cost least error for what they save; each one stays out if that, and the
    wider axes that the budget then allows, make the sum of errors smaller.

    Args:
        curves: with ``blocks``.
        error_without: blocks -> sum of the errors of the widths that keep the budget without them.
        what: cost that is saved: "macs" or "params".
    """

    def error(blocks: Sequence[Leaving]) -> float:
        try:
            return sum(b.error for b in blocks) + error_without([b.edit for b in blocks])
        except BudgetError:  # not without more blocks
            return float("inf")

    gone: tuple[Leaving, ...] = ()
    least, failures = error(gone), 0
    if least == 0:
        return ()
    for block in sorted(curves.blocks, key=lambda b: b.error / saving(curves.wiring, b.edit.block, what)):
        try:
            now = error((*gone, block))
        except PlanError:  # these cannot go together
            continue
        if now <= least:
            gone, least, failures = (*gone, block), now, 0
        else:
            failures += 1
        if failures == _PATIENCE:
            break
    return tuple(block.edit for block in gone)
