"""All the repair that there is without training, in the order in which it helps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..data.freed_memory import freed_memory_kept
from ..data.mirroring import Mirrored
from ..evidence.masks import Mask
from ..plans import Plan
from ..wiring import Wiring, trace
from .compensate import compensate
from .recalibrate import recalibrate
from .refine import refine
from .rejoin import rejoin
from .repaired import Repaired

_EXAMPLES = 1024  # with their mirror images, where these are given
# What each layer is fitted to is refined afterwards: half of the care in its first fit gives the same in the end.
_CARE: dict[str, Any] = {"most_examples": 512, "steps": 1}
_CARE_OF_CUT: dict[str, Any] = {"most_examples": 512, "steps": 4}


@freed_memory_kept()
def repair(
    wiring: Wiring,
    plan: Plan,
    data: Iterable[Any],
    *,
    mask: Mask | None = None,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> Repaired:
    """Carry out a plan and repair what it does, as ``netsmith.shrink`` does.

    Where blocks go, ``rejoin`` refits what is around them; where units go, ``compensate`` refits every layer behind
    them and ``refine`` the layers of each stretch together, or else ``recalibrate``: layers that were fitted together
    leave nothing that new batch statistics could mend.

    Args:
        wiring: of the original model.
        plan: a plan for it that removes units, cuts blocks, or removes units after one plan that cuts blocks.
        data: unlabelled calibration batches, each ``x`` or ``(x, y)``; can be gone through several times.
        mask: inputs -> (examples, positions), false or 0 where padding is, which then does not count; e.g.
            ``lambda x: x["attention_mask"]``.
        seed: of everything drawn at random.
        progress: called with ("repair", "refine" or "recalibrate", done, in all).

    Returns:
        The repaired model and its plan. The caller's model is not changed.

    Raises:
        EvidenceError: empty data, values that are not finite, or a forward whose path depends on values.

    Example:
        >>> done = repair(wiring, plan, batches)  # doctest: +SKIP
        >>> netsmith.verify(model, done.model, done.plan, x).ok  # doctest: +SKIP
        True
    """

    def telling(what: str) -> Callable[[int, int, str], None] | None:
        return None if progress is None else lambda done, total, _: progress(what, done, total)

    options: dict[str, Any] = {"mask": mask, "seed": seed}
    done = Repaired(wiring.model, plan, {})
    if plan.before or plan.block_edits:
        care = _CARE_OF_CUT if plan.before else {}
        done = rejoin(wiring, plan.steps[0], data, progress=telling("repair"), **options, **care)
    if plan.resizes or not plan.block_edits:
        here = trace(done.model, wiring.example_inputs) if plan.before else wiring
        pruned = compensate(here, plan.steps[-1], data, progress=telling("repair"), **options, **_CARE)
        joined = pruned.plan.after(done.plan) if plan.before else pruned.plan
        done = refine(
            wiring,
            Repaired(pruned.model, joined, {}),
            data,
            most_examples=_EXAMPLES * (2 if isinstance(data, Mirrored) else 1),
            progress=telling("refine"),
            **options,
        )
        if done.errors:
            return done
    if progress:
        progress("recalibrate", 0, 1)
    return recalibrate(wiring.model, done.model, done.plan, data)
