"""``cut``: read, choose blocks, take them out, rejoin, verify, measure, in one call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import nn

from ..checks import verify
from ..errors import InputError
from ..evidence.gradients import Loss
from ..evidence.masks import Mask
from ..plans import Budget
from ..recovery import recalibrate, rejoin
from ..searches import plan_cut
from ..searches.rounds import Influence
from ..surgery import apply
from ..wiring import trace
from .result import Result
from .soundness import check_model
from .steps import Evaluate, Progress, measured_steps, telling


def cut(
    model: nn.Module,
    example_inputs: Any,
    *,
    data: Iterable[Any],
    blocks: int | None = None,
    budget: Budget | None = None,
    threshold: float | None = None,
    influence: Influence = "divergence",
    loss: Loss | None = None,
    branches: bool = True,
    maps: bool = True,
    evaluate: Evaluate | None = None,
    mask: Mask | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Result:
    """Cut the blocks that matter least, and let what remains take over what they did.

    Args:
        model: a trained model; not changed.
        example_inputs: one call's inputs.
        data: calibration batches, each ``x`` or ``(x, y)``; only a loss needs labels.
        blocks, budget, threshold: how much to cut; one of them, as in ``plan_cut``.
        influence, loss, branches, maps: as in ``plan_cut``.
        evaluate: called with the model after each step; returns a score or scores by name, higher is better.
        mask: as in ``rejoin``.
        seed: of everything drawn at random.
        progress: called with (what is being done, steps done, steps in all).

    Returns:
        The smaller model, its plan, the verdict of ``verify``, and cost and scores of each step: "original", "cut",
        "rejoin"; ``influence`` is that of the first round.

    Raises:
        InputError, BudgetError, EvidenceError: as ``plan_cut`` and ``rejoin``.
        CaptureError, ModelError: the model cannot be read.

    Example:
        >>> result = cut(model, x, blocks=2, data=batches)  # doctest: +SKIP
    """
    check_model(model)
    if isinstance(data, Iterator):
        raise InputError("data is an iterator that can be gone through once; give a list of batches or a DataLoader")
    tell = progress or (lambda what, done, total: None)
    tell("trace", 0, 1)
    wiring = trace(model, example_inputs)
    tell("plan", 0, 1)
    rounds: list[Mapping[str, float]] = []
    plan = plan_cut(
        wiring,
        blocks=blocks,
        budget=budget,
        threshold=threshold,
        data=data,
        influence=influence,
        loss=loss,
        branches=branches,
        maps=maps,
        seed=seed,
        progress=telling(tell, "plan"),
        told=rounds.append,
    )
    models = {"original": model, "cut": apply(model, plan).eval()}
    if plan.block_edits:
        repaired = rejoin(wiring, plan, data, mask=mask, seed=seed, progress=telling(tell, "rejoin"))
        tell("recalibrate", 0, 1)
        repaired = recalibrate(model, repaired.model, repaired.plan, data)
        plan, models["rejoin"] = repaired.plan, repaired.model
    tell("verify", 0, 1)
    final = list(models.values())[-1]
    verdict = verify(model, final, plan, example_inputs)
    tell("measure", 0, 1)
    steps = measured_steps(models, example_inputs, evaluate)
    return Result(final, plan, verdict, steps, rounds[0] if rounds else {})
