"""Which axes are better folded than cut, by what the outputs say after compensation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ..data.running import eval_mode
from ..evidence import as_data, calibration_batches, device_of, first_output, mean_divergence
from ..plans import Plan
from ..plans.sizing import solve
from ..plans.widths import plan_for
from ..surgery import apply
from ..wiring import Wiring, call_model
from .compensate import compensate
from .folding import clusters, fold

WAYS = ("removed", "folded", "removed, compensated", "folded, compensated")


def fold_errors(
    wiring: Wiring, plan: Plan, data: Iterable[Any], *, most_examples: int = 512
) -> dict[str, dict[str, float]]:
    """What removal and folding of each axis alone do to the outputs, each without and with compensation.

    Args:
        wiring: of the original model.
        plan: of removals, for that model.
        data: unlabelled batches, each ``x`` or ``(x, y)``; the last quarter judges.
        most_examples: used at most.

    Returns:
        axis -> way (``WAYS``) -> held-out divergence from the original's outputs. Axes that cannot be folded, or whose
        size others follow, are left out.

    Raises:
        EvidenceError: as ``compensate``.
    """
    batches = calibration_batches(data, most_examples=most_examples, device=device_of(wiring.model))
    count = max(1, len(batches) // 4)
    fit, judge = as_data(batches[:-count] or batches), batches[-count:]
    with eval_mode(wiring.model), torch.no_grad():
        references = [first_output(call_model(wiring.model, inputs)) for inputs in judge]
    found = {}
    for name in clusters(wiring, plan).into:
        keep = {name: plan.keep()[name]}
        sizing = solve(wiring, {name: len(keep[name])})
        if [n for n, size in sizing.sizes.items() if n in wiring.axis and size != wiring.axis[n].size] != [name]:
            continue
        alone = plan_for(wiring, sizing, keep)
        models = (
            apply(wiring.model, alone).eval(),
            fold(wiring, alone).model,
            compensate(wiring, alone, fit).model,
            compensate(wiring, alone, fit, fold=True).model,
        )
        found[name] = {way: mean_divergence(m, judge, references) for way, m in zip(WAYS, models, strict=True)}
    return found


def choose_folds(wiring: Wiring, plan: Plan, data: Iterable[Any], *, most_examples: int = 512) -> tuple[str, ...]:
    """The axes that are better folded, for ``compensate(..., fold=...)``. Arguments as ``fold_errors``."""
    errors = fold_errors(wiring, plan, data, most_examples=most_examples)
    return tuple(name for name, each in errors.items() if each[WAYS[3]] < each[WAYS[2]])
