"""``plan_recipe``: what each step would do to the costs, without data, without training, and without writing anything.

Costs hardly depend on which units or blocks go, only on how many: a stand-in that is chosen without data has them.
Where a step's size itself is measured on data, the plan says that it is not known.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import nn

from ..costs import Cost, measure
from ..errors import BudgetError, InputError, NetsmithError
from ..plans import Budget, Plan, RemoveBlock, plan_blocks, plan_fusion, plan_growth, plan_precision, plan_removal
from ..searches.candidates import candidates, transition_candidates
from ..sources.models import open_model
from ..surgery import apply
from ..wiring import Wiring, trace
from .gathering import member_name
from .keys import keys_of
from .reading import ORIGINAL, NamedStep, Recipe, read_recipe
from .schema import Cut, Ensemble, Grow, Merge, Quantize, Search, Shrink
from .schema_training import Regularize
from .step_folder import finished_keys
from .work import begin, other_source

Sure = Literal["exact", "about", "not known", "same"]


@dataclass(frozen=True)
class PlannedStep:
    """One step of a recipe that was not carried out.

    Attributes:
        name, kind: of the step.
        before, after: cost of the model that it is given, and of that which it makes; without latency.
        sure: "exact"; "about": which parts go is measured on data; "not known": how many go is, too, and ``after``
            is as before; "same": the step changes no cost.
        said: what it would do, in words.
        kept: its result is in the run's folder already.
    """

    name: str
    kind: str
    before: Cost
    after: Cost
    sure: Sure
    said: str
    kept: bool


def plan_recipe(
    recipe: str | os.PathLike[str] | Mapping[str, Any], out: str | os.PathLike[str] | None = None
) -> tuple[PlannedStep, ...]:
    """Say what a recipe would cost and save, step by step; nothing is written, and no data is read.

    Args:
        recipe: as for ``run_recipe``.
        out: the run's folder, to say which steps are done already.

    Returns:
        One entry a step that is to be done, in order.

    Raises:
        InputError: the recipe has faults; the message names each with its line.
        NetsmithError: the model cannot be opened; or a step cannot be done (a budget that no plan reaches, more blocks
            than there are), with its line.

    Example:
        >>> [str(step.after) for step in plan_recipe("recipe.yaml")]  # doctest: +SKIP
    """
    read = read_recipe(recipe)
    work = begin(read, Path(out or "."), measuring=False)
    keys = keys_of(read, work.opened, work.digest)
    there = finished_keys(Path(out)) if out is not None else frozenset()
    states: dict[str, _Stand] = {ORIGINAL: _Stand(work.opened.model, measure(work.opened.model, work.example_inputs))}
    planned = []
    for step in read.steps:
        if step.kind == "report":
            continue
        start = states[step.source]
        try:
            found = _PLANS.get(step.kind, _same)(step, start, work.example_inputs, states, read)
        except NetsmithError as error:
            raise type(error)(f"{read.document.at(step.place)}: {step.name} cannot be done: {error}") from error
        kept = keys[step.name] in there
        if found.sure == "exact" and start.sure != "exact":  # what follows an estimate is one
            found = replace(found, sure="about")
        planned.append(PlannedStep(step.name, step.kind, start.cost, found.cost, found.sure, found.said, kept))
        if step.options.changes:
            states[step.name] = replace(found, sure=start.sure) if found.sure == "same" else found
    return tuple(planned)


@dataclass(frozen=True)
class _Stand:
    """A model that has about the structure that a step would make."""

    model: nn.Module | None
    cost: Cost
    sure: Sure = "exact"
    said: str = ""

    def wiring(self, example_inputs: Any) -> Wiring:
        assert self.model is not None  # an ensemble comes last: the recipe was checked
        return trace(self.model, example_inputs)


def _applied(start: _Stand, plan: Plan, x: Any, sure: Sure, said: str) -> _Stand:
    assert start.model is not None
    model = apply(start.model, plan)
    return _Stand(model, measure(model, x), sure, said)


def _same(step: NamedStep, start: _Stand, x: Any, states: Mapping[str, _Stand], recipe: Recipe) -> _Stand:
    return replace(start, sure="same", said="")


def _shrink(step: NamedStep, start: _Stand, x: Any, states: Mapping[str, _Stand], recipe: Recipe) -> _Stand:
    assert isinstance(step.options, Shrink)
    options = step.options
    plan = plan_removal(
        start.wiring(x), budget=options.budget.budget(), round_to=options.round_to, ignore=options.ignore
    )
    with_data = recipe.data_of(options) is not None
    said = f"{len(plan.resizes)} axes narrower"
    return _applied(start, plan, x, "about" if with_data or options.score else "exact", said)


def _search(step: NamedStep, start: _Stand, x: Any, states: Mapping[str, _Stand], recipe: Recipe) -> _Stand:
    assert isinstance(step.options, Search)
    plan = plan_removal(start.wiring(x), budget=step.options.budgets[0].budget())
    return _applied(start, plan, x, "about", f"at most {step.options.trials} structures tried")


def _cut(step: NamedStep, start: _Stand, x: Any, states: Mapping[str, _Stand], recipe: Recipe) -> _Stand:
    assert isinstance(step.options, Cut)
    options, wiring = step.options, start.wiring(x)
    if options.threshold is not None:
        return replace(start, sure="not known", said="as many blocks as stay below the threshold")
    able = candidates(wiring)[0]
    most = len(able) + (len(transition_candidates(wiring)) if options.maps else 0)
    if options.blocks is not None and options.blocks > most:
        raise InputError(f"blocks={options.blocks}, but only {most} blocks can be cut")
    limits = {} if options.budget is None else _limits(options.budget.budget(), start.cost)
    edits: list[RemoveBlock] = []
    found = replace(start, sure="about", said="no block")
    for edit in reversed(able.values()):
        if len(edits) == options.blocks or (limits and _fits(found.cost, limits)):
            break
        edits.append(edit)
        found = _applied(start, plan_blocks(wiring, edits), x, "about", f"{len(edits)} of {most} blocks gone")
    if limits and not _fits(found.cost, limits):
        return replace(found, sure="not known", said=f"{found.said}; with branches too, if that is enough")
    return found


def _merge(step: NamedStep, start: _Stand, x: Any, states: Mapping[str, _Stand], recipe: Recipe) -> _Stand:
    assert isinstance(step.options, Merge)
    options, sure, words = step.options, "exact", ["exact merges"] if step.options.exact else []
    found, wiring = start, start.wiring(x)
    if options.pairs is not None:
        able, sure = list(candidates(wiring)[0].values()), "about"
        words.insert(0, f"{options.pairs} blocks merged into the one before")
        if options.pairs > len(able):
            raise InputError(f"pairs={options.pairs}, but only {len(able)} blocks can be merged")
        found = _applied(start, plan_blocks(wiring, able[-options.pairs :]), x, "about", "")
    elif options.threshold is not None:
        sure = "not known"
        words.insert(0, "as many blocks merged as are similar")
    if options.exact:
        found = _applied(found, plan_fusion(found.wiring(x)), x, "exact", "")
    return replace(found, sure=sure, said=" and ".join(words))  # type: ignore[arg-type]  # one of the three


def _grow(step: NamedStep, start: _Stand, x: Any, states: Mapping[str, _Stand], recipe: Recipe) -> _Stand:
    assert isinstance(step.options, Grow)
    options = step.options
    where = "even" if options.where == "influence" else options.where
    plan = plan_growth(start.wiring(x), widen=options.widen, deepen=options.deepen, where=where, seed=recipe.head.seed)
    wider, more = (sum(len(getattr(p, what)) for p in plan.steps) for what in ("widenings", "insertions"))
    said = f"{wider} axes wider, {more} blocks more"
    return _applied(start, plan, x, "about" if options.where == "influence" else "exact", said)


def _regularize(step: NamedStep, start: _Stand, x: Any, states: Mapping[str, _Stand], recipe: Recipe) -> _Stand:
    assert isinstance(step.options, Regularize)
    options = step.options
    if not options.remove:
        return replace(start, sure="same", said="")
    if options.budget is None:
        return replace(start, sure="not known", said=f"as many units as {options.penalty} drives to zero")
    plan = plan_removal(
        start.wiring(x), budget=options.budget.budget(), round_to=options.round_to, ignore=options.ignore
    )
    return _applied(start, plan, x, "about", f"{len(plan.resizes)} axes narrower")


def _quantize(step: NamedStep, start: _Stand, x: Any, states: Mapping[str, _Stand], recipe: Recipe) -> _Stand:
    assert isinstance(step.options, Quantize)
    options = step.options
    if options.budget is not None:
        limit = _limits(options.budget.budget(), start.cost)["bytes"]
        cost = replace(start.cost, bytes=min(start.cost.bytes, int(limit)))
        return replace(start, cost=cost, sure="about", said="8 or 4 bits for each weight")
    plan = plan_precision(
        start.wiring(x), scheme=options.scheme, group=options.group, clip=options.clip, ignore=options.ignore
    )
    found = _applied(start, plan, x, "exact", f"{len(plan.precisions)} tensors in {options.scheme}")
    return replace(found, cost=replace(found.cost, macs=start.cost.macs, params=start.cost.params))


def _ensemble(step: NamedStep, start: _Stand, x: Any, states: Mapping[str, _Stand], recipe: Recipe) -> _Stand:
    assert isinstance(step.options, Ensemble)
    costs = []
    for text in step.options.members:
        known = states.get(text)
        costs.append(known.cost if known else measure(open_model(other_source(recipe, text)).model, x))
    total = Cost(*(sum(getattr(cost, name) for cost in costs) for name in ("params", "macs", "bytes")))
    said = f"{step.options.kind} of {', '.join(map(member_name, step.options.members))}"
    if step.options.kind == "cascade":
        said += "; MACs of an example that all members see"
    return _Stand(None, total, "about", said)


_PLANS: Mapping[str, Callable[[NamedStep, _Stand, Any, Mapping[str, _Stand], Recipe], _Stand]] = {
    "shrink": _shrink,
    "search": _search,
    "cut": _cut,
    "merge": _merge,
    "grow": _grow,
    "regularize": _regularize,
    "quantize": _quantize,
    "ensemble": _ensemble,
}


def _limits(budget: Budget, original: Cost) -> dict[str, float]:
    """Of what can be counted without running; a limit of time is left to the run."""
    counted = {n: v for n in ("macs", "params", "bytes", "peak_bytes") if (v := getattr(budget, n)) is not None}
    if not counted:
        raise BudgetError("this step's budget is one of time, which is measured as the step is done; give it macs too")
    return Budget(**counted).limits(original)


def _fits(cost: Cost, limits: Mapping[str, float]) -> bool:
    return all(getattr(cost, name) <= limit for name, limit in limits.items())
