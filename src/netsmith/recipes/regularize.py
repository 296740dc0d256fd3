"""The step ``regularize``: train under a penalty, then remove the units that it drove to zero."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from torch import nn

from ..checks import verify
from ..errors import InputError
from ..plans import Plan, plan_removal, plan_threshold
from ..recovery import compensate, recalibrate
from ..scores import magnitude, norm_scale
from ..surgery import apply
from ..training import l0_gates, penalties, regularize
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


def regularize_units(work: Work, step: NamedStep, start: State, key: str, tell: Tell) -> Done:
    """The rows are "before", "regularize" (all units, trained) and, where units went, "remove"."""
    options = step.options
    assert isinstance(options, Regularize)
    tell("trace", 0, 1)
    wiring = trace(start.model, work.example_inputs)
    chosen = _to_press(wiring, options)
    training = options.training(seed=work.seed, checkpoint=work.folder / STEPS / CHECKPOINTS / key, resume=True)
    trained = _trained(work, options, start, wiring, chosen, training, tell)
    plan = start.chain.with_refitted(slot.name for slot in tensor_slots(trained))
    models = {"before": start.model, "regularize": trained}
    gone = _gone(trained, work, options, chosen) if options.remove else None
    if gone is not None and gone.edits:
        models["remove"], gone = _removed(trained, gone, work.needed(options), options, work, tell)
        plan = gone.after(plan)
    final = list(models.values())[-1]
    tell("verify", 0, 1)
    verdict = verify(work.opened.model, final, plan, work.example_inputs)
    tell("measure", 0, 1)
    rows = measured_steps(models, work.example_inputs, work.measure)
    said = what_changed(gone) if gone is not None and gone.edits else ["no unit went to zero"] * options.remove
    return Done(final, plan, rows, checks_of(verdict), said=tuple(said), left=dict(gone.left) if gone else {})


def _to_press(wiring: Wiring, options: Regularize) -> Plan | None:
    """For "growing": what will go is chosen before the training."""
    if options.budget is None:
        return None
    budget = options.budget.budget()
    return plan_removal(wiring, budget=budget, round_to=options.round_to, ignore=options.ignore)


def _trained(
    work: Work, options: Regularize, start: State, wiring: Wiring, chosen: Plan | None, training: Any, tell: Tell
) -> nn.Module:
    # without validation: the penalty's work is done at the end, not where the score was best
    batches, zeros = work.needed(options), held_zeros(start.model, start.chain)
    common: dict[str, Any] = {
        "progress": lambda done, total, said: tell(f"train, loss {said['loss']:.3f}", done, total),
        "training": training,
    }
    strength = 1.0 if options.strength is None else options.strength
    if options.penalty == "l0":
        if zeros:
            raise InputError("penalty l0 does not keep the zeros of sparsify; take group_lasso, or sparsify afterwards")
        return l0_gates(start.model, batches, wiring=wiring, strength=strength, ignore=options.ignore, **common)
    if chosen is None:
        penalty = _PENALTIES[options.penalty](wiring, options, strength)
    else:
        penalty = penalties.growing(wiring, chosen, rise=options.rise, every=options.every, ceiling=strength)
    return regularize(start.model, batches, penalty=penalty, after_step=zeros, **common)


def _gone(trained: nn.Module, work: Work, options: Regularize, chosen: Plan | None) -> Plan:
    """The plan that removes what went to zero."""
    if chosen is not None:
        return chosen
    wiring = trace(trained, work.example_inputs)
    score = partial(norm_scale, wiring=wiring) if options.penalty == "slimming" else magnitude
    named: dict[str, Any] = {"round_to": options.round_to, "ignore": options.ignore}
    return plan_threshold(wiring, threshold=options.threshold, score=score, **named)


def _removed(
    trained: nn.Module, plan: Plan, batches: Iterable[Any], options: Regularize, work: Work, tell: Tell
) -> tuple[nn.Module, Plan]:
    """Without what went to zero. A scale at zero leaves a constant behind, which the layers that read it take over."""
    if options.penalty != "slimming":
        return apply(trained, plan).eval(), plan
    wiring = trace(trained, work.example_inputs)
    repaired = compensate(wiring, plan, batches, seed=work.seed, progress=telling(tell, "repair"))
    repaired = recalibrate(trained, repaired.model, repaired.plan, batches)
    return repaired.model, repaired.plan
