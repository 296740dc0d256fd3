"""``grow``: read, plan, widen and deepen, verify, measure, in one call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from torch import nn

from ..checks import verify
from ..errors import InputError
from ..evidence import influence
from ..plans import plan_growth
from ..plans.growth import Where
from ..plans.widening import Widths
from ..searches.axis_influence import axis_influence
from ..surgery import apply
from ..wiring import Wiring, trace
from .result import Result
from .soundness import check_model
from .steps import Evaluate, Progress, measured_steps, telling


def grow(
    model: nn.Module,
    example_inputs: Any,
    *,
    widen: Widths | None = None,
    deepen: int | None = None,
    where: Where | Literal["influence"] = "even",
    data: Iterable[Any] | None = None,
    evaluate: Evaluate | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Result:
    """Make a model larger without changing what it computes, to train it on.

    Args:
        model: any model; not changed.
        example_inputs: one call's inputs.
        widen, deepen: how much, as in ``plan_growth``; one of them or both.
        where: as in ``plan_growth``; or "influence", measured on the data: blocks come behind those whose absence
            changes the outputs most (only where blocks have a shortcut around them), and of a factor of ``widen`` an
            axis gets the share that its influence (``searches.axis_influence``) is of the largest.
        data: unlabelled batches, each ``x`` or ``(x, y)``, to measure influence with.
        evaluate: called with the model after each step; returns a score or scores by name, higher is better.
        seed: of everything drawn at random.
        progress: called with (what is being done, steps done, steps in all).

    Returns:
        The larger model, its plan, the verdict of ``verify``, and cost and scores of each step: "original", "grow".

    Raises:
        InputError, UnknownNameError, PlanError: as ``plan_growth``; also "influence" without data, or without a block
            that has a shortcut.
        EvidenceError: data that influence cannot be measured with.
        CaptureError, ModelError: the model cannot be read.

    Example:
        >>> result = grow(model, x, widen={"*": 1.5}, deepen=2)  # doctest: +SKIP
    """
    check_model(model)
    if where == "influence" and (data is None or isinstance(data, Iterator)):
        raise InputError('where="influence" measures on data; give a list of batches or a DataLoader')
    tell = progress or (lambda what, done, total: None)
    tell("trace", 0, 1)
    wiring = trace(model, example_inputs)
    if where == "influence":
        assert data is not None
        where = _influence(wiring, data, seed, tell, blocks=deepen is not None, axes=widen is not None)
    tell("plan", 0, 1)
    plan = plan_growth(wiring, widen=widen, deepen=deepen, where=where, seed=seed)
    models = {"original": model, "grow": apply(model, plan).eval()}
    tell("verify", 0, 1)
    verdict = verify(model, models["grow"], plan, example_inputs)
    tell("measure", 0, 1)
    return Result(models["grow"], plan, verdict, measured_steps(models, example_inputs, evaluate))


def _influence(
    wiring: Wiring, data: Iterable[Any], seed: int, tell: Progress, *, blocks: bool, axes: bool
) -> dict[str, float]:
    found: dict[str, float] = {}
    if blocks:
        found |= influence(wiring, data, progress=telling(tell, "influence"))
        if not found:
            raise InputError(
                'where="influence" measures blocks with a shortcut, and there are none; give "even" or names'
            )
    if axes:
        found |= axis_influence(wiring, data, seed=seed, progress=telling(tell, "influence"))
    return found
