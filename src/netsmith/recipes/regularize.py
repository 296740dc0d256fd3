"""The step and the command ``regularize``: train under a penalty, then remove the units that it drove to zero."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from ..checks import verify
from ..errors import InputError
from ..plans import Plan, plan_removal, plan_threshold
from ..recovery import compensate, recalibrate
from ..scores import magnitude, norm_scale
from ..surgery import apply
from ..training import Training, l0_gates, penalties, regularize
from ..wiring import Wiring, tensor_slots, trace
from .chaining import held_zeros
from .doing import checks_of, what_changed
from .reading import NamedStep
from .schema_training import Regularize
from .step_folder import CHECKPOINTS, STEPS
from .steps import measured_steps, telling
from .work import Done, State, Tell, Work

_PENALTIES: Mapping[str, Callable[[Wiring, Regularize, float], Any]] = {
    "group_lasso": lambda wiring, step, strength: penalties.group_lasso(wiring, strength, ignore=step.ignore),
    "slimming": lambda wiring, step, strength: penalties.slimming(wiring, strength, ignore=step.ignore),
    "l1": lambda wiring, step, strength: penalties.l1(strength),
    "l2": lambda wiring, step, strength: penalties.l2(strength),
}


@dataclass(frozen=True)
class Regularized:
    """A model that was trained under a penalty.

    Attributes:
        models: "regularize": all units, trained; where units went also "remove": without them.
        plan: of all that was done to the original.
        gone: what was removed; None where nothing was to be.
        said: what became of the units, in sentences.
    """

    models: Mapping[str, nn.Module]
    plan: Plan
    gone: Plan | None
    said: tuple[str, ...]


def regularized(
    model: nn.Module,
    example_inputs: Any,
    before: Plan,
    data: Callable[[], Iterable[Any]],
    options: Regularize,
    training: Training,
    tell: Tell,
) -> Regularized:
    """Train under the penalty that the options name, and remove what it drove to zero, if they say so.

    Args:
        model: not changed.
        example_inputs: of one call.
        before: the plan that made the model out of its original; without edits where nothing did.
        data: gives the labelled batches, from the beginning.
        options: of the step; how to train is in ``training`` alone.
        training: how to train.
        tell: progress.

    Raises:
        InputError: l0 gates where zeros are to be kept; and as ``training.regularize``.
    """
    tell("trace", 0, 1)
    wiring = trace(model, example_inputs)
    chosen = _to_press(wiring, options)
    trained = _trained(wiring, before, data(), options, chosen, training, tell)
    plan = before.with_refitted(slot.name for slot in tensor_slots(trained))
    models = {"regularize": trained}
    gone = _gone(trained, example_inputs, options, chosen) if options.remove else None
    if gone is None:
        return Regularized(models, plan, None, ())
    if not gone.edits:
        return Regularized(models, plan, gone, ("no unit went to zero",))
    models["remove"], gone = _removed(trained, example_inputs, gone, data, options, training.seed, tell)
    return Regularized(models, gone.after(plan), gone, tuple(what_changed(gone)))


def regularize_units(work: Work, step: NamedStep, start: State, key: str, tell: Tell) -> Done:
    """The rows are "before", "regularize" (all units, trained) and, where units went, "remove"."""
    options, x = step.options, work.example_inputs
    assert isinstance(options, Regularize)
    training = options.training(seed=work.seed, checkpoint=work.folder / STEPS / CHECKPOINTS / key, resume=True)
    found = regularized(start.model, x, start.chain, lambda: work.needed(options), options, training, tell)
    models = {"before": start.model, **found.models}
    final = list(models.values())[-1]
    tell("verify", 0, 1)
    verdict = verify(work.opened.model, final, found.plan, x)
    tell("measure", 0, 1)
    rows = measured_steps(models, x, work.measure)
    left = {} if found.gone is None else dict(found.gone.left)
    return Done(final, found.plan, rows, checks_of(verdict), said=found.said, left=left)


def _to_press(wiring: Wiring, options: Regularize) -> Plan | None:
    """For "growing": what will go is chosen before the training."""
    if options.budget is None:
        return None
    budget = options.budget.budget()
    return plan_removal(wiring, budget=budget, round_to=options.round_to, ignore=options.ignore)


def _trained(
    wiring: Wiring,
    before: Plan,
    batches: Iterable[Any],
    options: Regularize,
    chosen: Plan | None,
    training: Training,
    tell: Tell,
) -> nn.Module:
    # without validation: the penalty's work is done at the end, not where the score was best
    model, zeros = wiring.model, held_zeros(wiring.model, before)
    common: dict[str, Any] = {
        "progress": lambda done, total, said: tell(f"train, loss {said['loss']:.3f}", done, total),
        "training": training,
    }
    strength = 1.0 if options.strength is None else options.strength
    if options.penalty == "l0":
        if zeros:
            raise InputError("penalty l0 does not keep the zeros of sparsify; take group_lasso, or sparsify afterwards")
        return l0_gates(model, batches, wiring=wiring, strength=strength, ignore=options.ignore, **common)
    if chosen is None:
        penalty = _PENALTIES[options.penalty](wiring, options, strength)
    else:
        penalty = penalties.growing(wiring, chosen, rise=options.rise, every=options.every, ceiling=strength)
    return regularize(model, batches, penalty=penalty, after_step=zeros, **common)


def _gone(trained: nn.Module, example_inputs: Any, options: Regularize, chosen: Plan | None) -> Plan:
    """The plan that removes what went to zero."""
    if chosen is not None:
        return chosen
    wiring = trace(trained, example_inputs)
    score = partial(norm_scale, wiring=wiring) if options.penalty == "slimming" else magnitude
    named: dict[str, Any] = {"round_to": options.round_to, "ignore": options.ignore}
    return plan_threshold(wiring, threshold=options.threshold, score=score, **named)


def _removed(
    trained: nn.Module,
    example_inputs: Any,
    plan: Plan,
    data: Callable[[], Iterable[Any]],
    options: Regularize,
    seed: int,
    tell: Tell,
) -> tuple[nn.Module, Plan]:
    """Without what went to zero. A scale at zero leaves a constant behind, which the layers that read it take over."""
    if options.penalty != "slimming":
        return apply(trained, plan).eval(), plan
    wiring, batches = trace(trained, example_inputs), data()
    repaired = compensate(wiring, plan, batches, seed=seed, progress=telling(tell, "repair"))
    repaired = recalibrate(trained, repaired.model, repaired.plan, batches)
    return repaired.model, repaired.plan
