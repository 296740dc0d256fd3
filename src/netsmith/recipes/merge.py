"""``merge``: read, merge similar blocks, refit, merge exactly what algebra allows, verify, measure, in one call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn

from ..checks import verify
from ..errors import InputError
from ..evidence.masks import Mask
from ..evidence.similarity import Likeness
from ..plans import Plan, plan_fusion
from ..recovery import recalibrate, rejoin
from ..searches import plan_merge
from ..surgery import apply
from ..wiring import trace
from .result import Result
from .soundness import check_model
from .steps import Evaluate, Progress, measured_steps, telling


def merge(
    model: nn.Module,
    example_inputs: Any,
    *,
    pairs: int | None = None,
    threshold: float | None = None,
    data: Iterable[Any] | None = None,
    likeness: Likeness = "cka",
    exact: bool = True,
    evaluate: Evaluate | None = None,
    mask: Mask | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Result:
    """Merge layers: similar neighbouring blocks if asked for, then exactly all that algebra allows.

    Args:
        model: trained; not changed.
        example_inputs: one call's inputs, as for ``trace``.
        pairs: how many blocks to merge into the one before; or
        threshold: merge blocks while the similarity of their outputs is at least this, 0 to 1. With neither, only
            exact merges are made, and no data is needed.
        data: unlabelled batches, each ``x`` or ``(x, y)``; needed with pairs or threshold.
        likeness: "cka" or "cosine", of the blocks' outputs.
        exact: at last merge normalizations, scales, layers in a row and parallel branches where the outputs in eval
            mode stay what they are. A merged normalization no longer normalizes in training: False for training on.
        evaluate: model -> number such as accuracy; None measures none.
        mask: inputs -> (examples, positions), false or 0 where padding is, which then does not count.
        seed: of everything drawn at random.
        progress: called with (stage, done, in all).

    Returns:
        The merged model in eval mode, its plan, the verdict, and size, time and quality before and after.

    Raises:
        InputError: arguments of the wrong kind or out of range, or nothing to do.
        EvidenceError: empty data, or values that are not finite.
        CaptureError, ModelError: the model cannot be read.

    Example:
        >>> result = merge(model, x)  # exact merges only  # doctest: +SKIP
    """
    check_model(model)
    if isinstance(data, Iterator):
        raise InputError("data is an iterator that can be gone through once; give a list of batches or a DataLoader")
    similar = pairs is not None or threshold is not None
    if not similar and not exact:
        raise InputError("nothing to do: give pairs (e.g. 2) or threshold (e.g. 0.99), or let exact merges be made")
    tell = progress or (lambda what, done, total: None)
    tell("trace", 0, 1)
    wiring = trace(model, example_inputs)
    models, plan = {"original": model}, Plan((), {}, {}, {}, wiring.fingerprint)
    if similar:
        tell("plan", 0, 1)
        plan = plan_merge(
            wiring,
            pairs=pairs,
            threshold=threshold,
            data=data,
            likeness=likeness,
            mask=mask,
            progress=telling(tell, "plan"),
        )
        models["merge"] = apply(model, plan).eval()
        if plan.block_edits:
            assert data is not None
            repaired = rejoin(wiring, plan, data, mask=mask, seed=seed, progress=telling(tell, "rejoin"))
            tell("recalibrate", 0, 1)
            repaired = recalibrate(model, repaired.model, repaired.plan, data)
            plan, models["rejoin"] = repaired.plan, repaired.model
    if exact:
        tell("fuse", 0, 1)
        now = models["rejoin"] if plan.block_edits else model
        fusion = plan_fusion(trace(now, example_inputs) if plan.block_edits else wiring)
        models["fuse"] = apply(now, fusion).eval()
        plan = fusion.after(plan) if plan.block_edits else fusion
    tell("verify", 0, 1)
    final = list(models.values())[-1]
    verdict = verify(model, final, plan, example_inputs)
    tell("measure", 0, 1)
    return Result(final, plan, verdict, measured_steps(models, example_inputs, evaluate))
