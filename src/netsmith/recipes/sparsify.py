"""``sparsify``: read, choose zeros, repair, remove what is dead, verify, measure, in one call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from torch import nn

from ..checks import verify
from ..errors import EvidenceError, InputError
from ..evidence.masks import Mask
from ..plans import Plan, plan_dead, plan_sparsity
from ..recovery import sparsify as with_repair
from ..surgery import apply
from ..wiring import trace
from .result import Result
from .soundness import check_model
from .steps import Evaluate, Progress, measured_steps, telling

_MOST_ROUNDS = 10  # of removing dead units: each may leave others without readers


def sparsify(
    model: nn.Module,
    example_inputs: Any,
    *,
    threshold: float | None = None,
    share: float | None = None,
    pattern: str | None = None,
    scope: Literal["global", "layer"] = "global",
    criterion: Literal["magnitude", "wanda", "sparsegpt"] = "magnitude",
    data: Iterable[Any] | None = None,
    repair: bool = True,
    remove_dead: bool = True,
    ignore: Iterable[str] = (),
    evaluate: Evaluate | None = None,
    mask: Mask | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Result:
    """Set single weights of a trained model to zero, and remove the units that are dead then.

    Args:
        model: not changed.
        example_inputs: one call's inputs.
        threshold, share, pattern, scope, ignore: as in ``plan_sparsity``; one of the first three.
        criterion: "magnitude", "wanda", or "sparsegpt": chosen and repaired column by column (by layer; no threshold).
        data: unlabelled batches, each ``x`` or ``(x, y)``; for all but magnitude, and for repair.
        repair: with data, weights beside the zeros make up for them; False keeps every other weight's bits.
        remove_dead: remove units on which no output depends any more.
        evaluate: called with the model after each step; returns a score or scores by name, higher is better.
        mask: as in ``evidence.activations``.
        seed: of everything drawn at random.
        progress: called with (what is being done, done, in all).

    Returns:
        The sparse model, its plan, the verdict of ``verify``, and cost and scores of each step: "original", "sparsify"
        and, where units were dead, "remove dead".

    Raises:
        InputError, EvidenceError: as ``plan_sparsity`` and ``recovery.sparsify``.

    Example:
        >>> result = sparsify(model, x, share=0.5, data=batches)  # doctest: +SKIP
    """
    check_model(model)
    if isinstance(data, Iterator):
        raise InputError("data is an iterator that can be gone through once; give a list of batches or a DataLoader")
    if criterion == "sparsegpt" and data is None:
        raise EvidenceError("criterion 'sparsegpt' is computed from data, and none was given; give data")
    if criterion == "sparsegpt" and not repair:
        raise InputError(
            "criterion 'sparsegpt' chooses while it repairs; to choose without repair, take criterion 'wanda'"
        )
    if criterion == "sparsegpt" and threshold is not None:
        raise InputError("criterion 'sparsegpt' takes a share or a pattern, no threshold")
    tell = progress or (lambda what, done, total: None)
    tell("trace", 0, 1)
    wiring = trace(model, example_inputs)
    tell("plan", 0, 1)
    options: dict[str, Any] = {"mask": mask, "seed": seed}
    plan: Plan | None = None
    if criterion != "sparsegpt":
        plan = plan_sparsity(
            wiring,
            threshold=threshold,
            share=share,
            pattern=pattern,
            scope=scope,
            criterion=criterion,
            data=data,
            ignore=ignore,
            **options,
        )
    if data is not None and repair and (plan is None or plan.sparsities):
        tell("repair", 0, 1)
        chosen: dict[str, Any] = {"share": share, "pattern": pattern} if plan is None else {"plan": plan}
        done = with_repair(wiring, data, **chosen, ignore=ignore, progress=telling(tell, "repair"), **options)
        plan, small = done.plan, done.model
    else:
        assert plan is not None
        small = apply(model, plan).eval()
    models = {"original": model, "sparsify": small}
    for _ in range(_MOST_ROUNDS if remove_dead else 0):
        tell("dead", 0, 1)
        dead = plan_dead(trace(small, example_inputs), ignore=ignore, seed=seed)
        if not dead.edits:
            break
        plan, small = dead.after(plan), apply(small, dead).eval()
        models["remove dead"] = small
    tell("verify", 0, 1)
    verdict = verify(model, small, plan, example_inputs)
    tell("measure", 0, 1)
    return Result(small, plan, verdict, measured_steps(models, example_inputs, evaluate))
