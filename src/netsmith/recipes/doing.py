"""Each kind of step that changes the structure or the numbers of a model: options of the recipe -> the Python call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from ..checks import Verdict, verify
from ..plans import Plan
from ..scores.addressed import addressed_score
from ..sources.models import open_model
from ..training import distil, finetune
from ..wiring import tensor_slots
from .chaining import chained, held_zeros, lost_zeros
from .cut import cut
from .grow import grow
from .merge import merge
from .quantize import quantize
from .reading import ORIGINAL, NamedStep
from .result import Result
from .schema import Cut, Grow, Merge, Quantize, Shrink, Sparsify
from .schema_training import Distil
from .shrink import shrink
from .sparsify import sparsify
from .step_folder import CHECKPOINTS, STEPS
from .steps import measured_steps
from .work import Done, State, Tell, Work, other_source

Make = Callable[[Any, Work, nn.Module, dict[str, Any]], Result]


def _shrink(step: Shrink, work: Work, model: nn.Module, common: dict[str, Any]) -> Result:
    score = None if step.score is None else addressed_score(step.score)
    options: dict[str, Any] = {"heal": step.heal, "score": score, "round_to": step.round_to, "ignore": step.ignore}
    options |= {"depth": step.depth, "precision": step.precision}
    return shrink(model, work.example_inputs, budget=step.budget.budget(), data=work.batches(step), **options, **common)


def _cut(step: Cut, work: Work, model: nn.Module, common: dict[str, Any]) -> Result:
    budget = None if step.budget is None else step.budget.budget()
    options: dict[str, Any] = {"blocks": step.blocks, "budget": budget, "threshold": step.threshold}
    options |= {"influence": step.influence, "branches": step.branches, "maps": step.maps}
    return cut(model, work.example_inputs, data=work.needed(step), **options, **common)


def _merge(step: Merge, work: Work, model: nn.Module, common: dict[str, Any]) -> Result:
    data = None if step.wants_data is None else work.batches(step)
    options: dict[str, Any] = {"pairs": step.pairs, "threshold": step.threshold}
    options |= {"likeness": step.likeness, "exact": step.exact}
    return merge(model, work.example_inputs, data=data, **options, **common)


def _grow(step: Grow, work: Work, model: nn.Module, common: dict[str, Any]) -> Result:
    data = None if step.wants_data is None else work.batches(step)
    options: dict[str, Any] = {"widen": step.widen, "deepen": step.deepen, "where": step.where}
    return grow(model, work.example_inputs, data=data, **options, **common)


def _sparsify(step: Sparsify, work: Work, model: nn.Module, common: dict[str, Any]) -> Result:
    names = ("threshold", "share", "pattern", "scope", "criterion", "repair", "remove_dead", "ignore")
    options: dict[str, Any] = {name: getattr(step, name) for name in names}
    return sparsify(model, work.example_inputs, data=work.batches(step), **options, **common)


def _quantize(step: Quantize, work: Work, model: nn.Module, common: dict[str, Any]) -> Result:
    budget = None if step.budget is None else step.budget.budget()
    options: dict[str, Any] = {"scheme": step.scheme, "budget": budget, "group": step.group, "clip": step.clip}
    options["heal"] = step.heal
    return quantize(model, work.example_inputs, data=work.batches(step), ignore=step.ignore, **options, **common)


STRUCTURE: Mapping[str, Make] = {
    "shrink": _shrink,
    "cut": _cut,
    "merge": _merge,
    "grow": _grow,
    "sparsify": _sparsify,
    "quantize": _quantize,
}


def change_structure(work: Work, step: NamedStep, start: State, key: str, tell: Tell) -> Done:
    """One of ``STRUCTURE``, verified against the original with all that was done before."""
    common: dict[str, Any] = {"evaluate": work.measure, "seed": work.seed, "progress": tell}
    result = STRUCTURE[step.kind](step.options, work, start.model, common)
    if start.name != ORIGINAL:
        result = chained(result, work.opened.model, start.chain, work.example_inputs)
    said = [f"{row.name}: {_scores(row.scores)}" for row in result.steps[1:-1] if row.scores]
    said += what_changed(result.plan)
    lost = lost_zeros(result, start.model, start.chain)
    said += [] if lost is None else [lost]
    measured = isinstance(step.options, Cut) and step.options.influence == "divergence"
    told = {"influence": dict(result.influence)} if measured else {}
    return Done(
        result.model,
        result.plan,
        result.steps,
        checks_of(result.verdict),
        told,
        tuple(said),
        dict(result.plan.left),
    )


def train(work: Work, step: NamedStep, start: State, key: str, tell: Tell) -> Done:
    """``finetune`` or ``distil``; what an interruption left of it is gone on with."""
    options: Any = step.options
    how = options.training(seed=work.seed, checkpoint=work.folder / STEPS / CHECKPOINTS / key, resume=True)
    common: dict[str, Any] = {
        "validate": None if work.measure is None else work.measure.goal,
        "after_step": held_zeros(start.model, start.chain),
        "progress": lambda done, total, said: tell(f"train, loss {said['loss']:.3f}", done, total),
        "training": how,
    }
    batches = work.needed(options)
    if isinstance(options, Distil):
        named: dict[str, Any] = {"temperature": options.temperature, "alpha": options.alpha}
        teacher = other_model(work, work.recipe.teacher_of(step))
        trained = distil(start.model, teacher, batches, class_dim=options.class_dim, **named, **common)
    else:
        trained = finetune(start.model, batches, **common)
    plan = start.chain.with_refitted(slot.name for slot in tensor_slots(trained))
    tell("verify", 0, 1)
    verdict = verify(work.opened.model, trained, plan, work.example_inputs)
    tell("measure", 0, 1)
    rows = measured_steps({"before": start.model, step.name: trained}, work.example_inputs, work.measure)
    return Done(trained, plan, rows, checks_of(verdict))


def other_model(work: Work, name: str) -> nn.Module:
    """An earlier step's model, the original, or MODEL[@FILE]."""
    if name in work.states:
        return work.states[name].model
    return open_model(other_source(work.recipe, name)).model


def checks_of(verdict: Verdict) -> tuple[tuple[str, str, str], ...]:
    return tuple((check.name, str(check.status), check.detail) for check in verdict.checks)


def _scores(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in scores.items())


def what_changed(plan: Plan) -> list[str]:
    """The last plan of a chain, in sentences."""
    gone = [f"{edit.block}: {edit.words}" for edit in (*plan.block_edits, *plan.insertions)]
    units = sum(edit.size - len(edit.keep) for edit in plan.resizes)
    if plan.resizes:
        gone.append(f"{units:,} units removed from {len(plan.resizes)} axes")
    if plan.widenings:
        gone.append(f"{len(plan.widenings)} axes widened")
    if plan.fusions:
        gone.append(f"{len(plan.fusions)} layers merged exactly")
    if plan.precisions:
        gone.append(f"{len(plan.precisions)} tensors stored as integers")
    if plan.sparsities:
        gone.append(f"zeros in {len(plan.sparsities)} tensors")
    return gone
