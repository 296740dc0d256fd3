"""The one call for people in a hurry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from ..checks import verify
from ..costs.spending import spending
from ..data.mirroring import unmirrored
from ..errors import InputError
from ..evidence import device_of
from ..evidence.masks import Mask
from ..evidence.products import check_precision, products_in
from ..plans import Budget, plan_removal
from ..plans.budget import check_saving
from ..recovery import repair
from ..scores import Score, magnitude, with_evidence
from ..scores.named import score_named
from ..searches import plan_allocation
from ..surgery import apply
from ..wiring import Wiring, tensor_slots, trace
from .healing import Heal, check_heal, healed
from .result import Result
from .soundness import check_model
from .steps import Evaluate, Progress, measured_steps, telling


def shrink(
    model: nn.Module,
    example_inputs: Any,
    *,
    budget: Budget,
    data: Iterable[Any] | None = None,
    evaluate: Evaluate | None = None,
    heal: Heal | None = None,
    seed: int = 0,
    score: Callable[..., torch.Tensor] | str | None = None,
    round_to: int | None = None,
    ignore: Iterable[str] = (),
    depth: bool = False,
    mask: Mask | None = None,
    precision: str = "auto",
    progress: Progress | None = None,
) -> Result:
    """Make a trained network smaller until it fits a budget, and repair it.

    With ``data`` it measures what each axis can spare, removes there, and repairs by least squares: every layer behind
    a removal is refitted, then the layers of each stretch together; where none are, batch statistics are recomputed if
    that helps. Without data it removes the same share of every axis. Nothing is trained unless ``heal`` asks for it.

    Args:
        model: any module; not changed.
        example_inputs: one call's inputs: a tensor, a tuple of positional or a dict of keyword arguments.
        budget: what the result may cost.
        data: unlabelled calibration batches, each ``x`` or ``(x, y)``; can be gone through several times.
        evaluate: called with a model in eval mode after every step; a score (higher is better) or several by name.
        heal: epochs of distillation from the original on ``data``, or your own ``(edited, original) -> trained``.
        seed: of everything drawn at random.
        score: says which units of an axis stay: a function, or the name of one in ``netsmith.scores``. Evidence that it
            asks for is gathered from ``data``. None: with data, those that repair could replace least; without, those
            of the largest magnitude.
        round_to, ignore: as in ``plan_removal``.
        depth: with data, whether residual blocks may go altogether where that disturbs the outputs less; measuring
            them takes longer than all widths.
        mask: inputs -> (examples, positions), false or 0 where padding is, which then does not count; e.g.
            ``lambda x: x["attention_mask"]``.
        precision: of the products of layers while data is measured and layers are refitted: "bf16", "no" (that of the
            model), or "auto": bf16 where the processor is faster with it. The model's own precision never
            changes.
        progress: called with (what is being done, done, in all).

    Returns:
        The model, the plan, the verdict of ``verify``, cost and scores after each step, and with data the seconds and
        the memory that planning and repair took.

    Raises:
        InputError, CaptureError, ModelError, BudgetError, EvidenceError, UnknownNameError: see their messages.

    Example:
        >>> result = netsmith.shrink(model, x, budget=netsmith.Budget(macs=0.5), data=batches)  # doctest: +SKIP
    """
    _check(model, budget, data, evaluate, heal, seed, precision)
    if depth and data is None:
        raise InputError("depth=True measures which blocks may go; give data, e.g. data=batches")
    tell = progress or _silent
    tell("trace", 0, 1)
    wiring = trace(model, example_inputs)
    chosen = _informed(score, wiring, data, mask, seed, tell)
    tell("plan", 0, 1)
    models, spent = {"original": model}, None
    if data is None:
        plan = plan_removal(wiring, budget=budget, score=chosen or magnitude, round_to=round_to, ignore=ignore)
        models["prune"] = apply(model, plan).eval()
    else:
        with spending(device_of(model)) as spent, products_in(precision):
            plan = plan_allocation(
                wiring,
                budget=budget,
                data=unmirrored(data),
                score=chosen,
                round_to=round_to,
                ignore=ignore,
                depth=depth,
                mask=mask,
                seed=seed,
                progress=telling(tell, "plan"),
            )
            models["prune"] = apply(model, plan).eval()
            done = repair(wiring, plan, data, mask=mask, seed=seed, progress=tell)
        plan, models["repair"] = done.plan, done.model
    if heal is not None:
        tell("heal", 0, 1)
        last = list(models.values())[-1]
        models["heal"] = healed(last, model, data, heal, seed, telling(tell, "heal"))
        plan = plan.with_refitted(slot.name for slot in tensor_slots(models["heal"]))
    tell("verify", 0, 1)
    final = list(models.values())[-1]
    verdict = verify(model, final, plan, example_inputs)
    broken = [check.detail for check in verdict.checks if check.name == "runs" and check.status == "failed"]
    if broken and heal is not None:
        raise InputError(f"the model that heal returned does not run with the example inputs: {broken[0]}")
    tell("measure", 0, 1)
    steps = measured_steps(models, example_inputs, evaluate)
    return Result(final, plan, verdict, steps, spent=spent)


def _silent(what: str, done: int, total: int) -> None: ...


def _check(model: Any, budget: Any, data: Any, evaluate: Any, heal: Any, seed: Any, precision: Any) -> None:
    check_model(model)
    check_saving(budget)
    if not isinstance(seed, int):
        raise InputError(f"seed={seed!r} is a {type(seed).__name__}; give an int")
    check_heal(heal, data)
    if evaluate is not None and not callable(evaluate):
        raise InputError(f"evaluate is a {type(evaluate).__name__}; give a function model -> score, higher is better")
    if data is not None and (not isinstance(data, Iterable) or isinstance(data, (torch.Tensor, Mapping, str))):
        raise InputError(f"data is a {type(data).__name__}; give a list of batches or a DataLoader, each x or (x, y)")
    check_precision(precision)
    if isinstance(data, Iterator):
        raise InputError("data is an iterator that can be gone through once; give a list of batches or a DataLoader")


def _informed(
    score: Callable[..., torch.Tensor] | str | None,
    wiring: Wiring,
    data: Iterable[Any] | None,
    mask: Mask | None,
    seed: int,
    tell: Progress,
) -> Score | None:
    """The score with the evidence that it asks for."""
    if score is None:
        return None
    function = score_named(score) if isinstance(score, str) else score
    return with_evidence(
        function, wiring, data, mask=mask, seed=seed, progress=lambda done, total, _: tell("score", done, total)
    )
