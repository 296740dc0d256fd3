"""``quantize``: read, plan the precision, round, perhaps train, verify, measure, in one call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn

from ..checks import verify
from ..errors import InputError
from ..evidence.masks import Mask
from ..plans import Budget, plan_precision
from ..plans.precision import Clip, Scheme
from ..recovery import round_weights
from ..surgery import apply
from ..wiring import tensor_slots, trace
from .healing import Heal, check_heal, healed
from .result import Result
from .soundness import check_model
from .steps import Evaluate, Progress, measured_steps, telling


def quantize(
    model: nn.Module,
    example_inputs: Any,
    *,
    scheme: Scheme | None = None,
    budget: Budget | None = None,
    data: Iterable[Any] | None = None,
    group: int = 0,
    clip: Clip = "max",
    ignore: Iterable[str] = (),
    evaluate: Evaluate | None = None,
    heal: Heal | None = None,
    mask: Mask | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Result:
    """Store a trained model's weights as integers; with data, rounded so that outputs change least, or trained so.

    Args:
        model: not changed.
        example_inputs: one call's inputs.
        scheme, budget, group, clip, ignore: as in ``plan_precision``; one of scheme and budget.
        data: unlabelled batches, each ``x`` or ``(x, y)``: for a budget, for rounding by GPTQ, and to heal with.
        evaluate: called with the model after each step; returns a score or scores by name, higher is better.
        heal: epochs of distillation from the original on ``data``, with rounding in the loop (quantization-aware
            training), or your own ``(quantized, original) -> trained``, in which ``distil`` and ``finetune`` round so.
        mask: as in ``evidence.activations``.
        seed: of everything drawn at random.
        progress: called with (what is being done, done, in all).

    Returns:
        The model with integers, its plan, the verdict of ``verify``, and cost and scores of each step: "original",
        "quantize" (nearest integers) and, with data, "round", then "heal".

    Raises:
        InputError, EvidenceError, BudgetError, MissingExtraError: as ``plan_precision`` and ``round_weights``.

    Example:
        >>> result = quantize(model, x, scheme="int4", data=batches)  # doctest: +SKIP
    """
    check_model(model)
    if isinstance(data, Iterator):
        raise InputError("data is an iterator that can be gone through once; give a list of batches or a DataLoader")
    check_heal(heal, data)
    tell = progress or (lambda what, done, total: None)
    tell("trace", 0, 1)
    wiring = trace(model, example_inputs)
    tell("plan", 0, 1)
    plan = plan_precision(
        wiring,
        scheme=scheme,
        budget=budget,
        data=data,
        group=group,
        clip=clip,
        ignore=ignore,
        progress=telling(tell, "plan"),
    )
    models = {"original": model, "quantize": apply(model, plan).eval()}
    if data is not None and plan.precisions:
        tell("round", 0, 1)
        rounded = round_weights(wiring, plan, data, mask=mask, seed=seed, progress=telling(tell, "round"))
        plan, models["round"] = rounded.plan, rounded.model
    if heal is not None and plan.precisions:
        tell("heal", 0, 1)
        models["heal"] = healed(list(models.values())[-1], model, data, heal, seed, telling(tell, "heal"))
        plan = plan.with_refitted(slot.name for slot in tensor_slots(models["heal"]))
    tell("verify", 0, 1)
    final = list(models.values())[-1]
    verdict = verify(model, final, plan, example_inputs)
    tell("measure", 0, 1)
    return Result(final, plan, verdict, measured_steps(models, example_inputs, evaluate))
