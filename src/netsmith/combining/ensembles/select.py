"""``select``: try the kinds of ensembles, and show which are best for what they cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ...costs import latencies, measure
from ...errors import BudgetError, InputError
from ...plans import Budget
from ...wiring.recorder import tensors_in
from .container import Members, named
from .outputs import gather
from .parallel import parallel
from .quality import Quality, macs_of
from .recorded import judge, with_members
from .tries import KINDS, fitted


@dataclass(frozen=True, eq=False)
class Candidate:
    """One ensemble that was tried.

    Attributes:
        name: what it is, in words.
        kind: one of ``KINDS``.
        model: the ensemble, or the member itself.
        quality: on the examples that it was judged on.
        within: whether it keeps the budget; True where there is none.
        on_front: no other candidate is as accurate for less, or more accurate for as much (mean MACs).
    """

    name: str
    kind: str
    model: nn.Module
    quality: Quality
    within: bool = True
    on_front: bool = False


@dataclass(frozen=True, eq=False)
class Selection:
    """All candidates, cheapest first.

    The best is chosen by the very figures that it carries here, so they flatter it: report it on a test set.
    """

    candidates: tuple[Candidate, ...]

    @property
    def front(self) -> tuple[Candidate, ...]:
        """The Pareto front of accuracy against mean cost, cheapest first."""
        return tuple(c for c in self.candidates if c.on_front)

    @property
    def best(self) -> Candidate:
        """The most accurate one within the budget; among equals the one with the smaller log-loss.

        Raises:
            BudgetError: none is within the budget.
        """
        good = [c for c in self.candidates if c.within]
        if not good:
            raise BudgetError("no ensemble and no single member is within the budget; allow more")
        return max(good, key=lambda c: (c.quality.accuracy, -c.quality.log_loss))


def select(
    members: Members,
    data: Iterable[Any],
    *,
    example_inputs: Any,
    judge_on: Iterable[Any] | None = None,
    kinds: Iterable[str] = KINDS,
    budget: Budget | None = None,
    seed: int = 0,
) -> Selection:
    """Fit every kind of ensemble and judge it on other examples. Each member sees each example once.

    Tried are each member alone; means of probabilities, geometric means and votes of all; weights by log-loss, least
    squares and greedy selection; stacking by logistic regression and ridge; a mixture with a linear gate; cascades of
    each two members, and of all that are worth their cost, at several mean costs.

    Args:
        members: name -> model or a list of models; they are copied.
        data: labelled batches that no member was trained on.
        example_inputs: one call's inputs.
        judge_on: labelled batches to judge on. None: a random half of ``data``, which then fits nothing.
        kinds: which of ``KINDS`` to try.
        budget: of one candidate: ``macs`` limits the mean MACs of the example inputs' call, ``params``, ``bytes`` and
            ``latency_ms`` (measured) the whole model. Shares are of all members together.
        seed: of the halves and of what is drawn at random in fitting.

    Raises:
        InputError: unknown kinds, or data as in :func:`.outputs.gather`.
    """
    wanted = tuple(kinds)
    if unknown := [kind for kind in wanted if kind not in KINDS]:
        raise InputError(f"unknown kinds {', '.join(map(repr, unknown))}; there are {', '.join(KINDS)}")
    copies = named(members)
    macs = macs_of(copies, example_inputs)
    order = sorted(copies, key=lambda name: macs[name])
    copies, macs = {name: copies[name] for name in order}, {name: macs[name] for name in order}
    fit_on = gather(copies, data)
    if judge_on is None:
        rows = torch.randperm(len(fit_on.labels), generator=torch.Generator().manual_seed(seed))
        fit_on, judged = fit_on.rows(rows[::2]), fit_on.rows(rows[1::2])
    else:
        judged = gather(copies, judge_on)
    found = []
    for name, kind, made in fitted(fit_on, macs, wanted, seed):
        quality = judge(made, judged, macs)
        found.append(Candidate(name, kind, copies[name] if kind == "single" else with_members(made, copies), quality))
    found = _marked(found)
    if budget is not None:
        found = _checked(found, budget, copies, example_inputs)
    return Selection(tuple(sorted(found, key=lambda c: (c.quality.mean_macs, -c.quality.accuracy))))


def _marked(candidates: list[Candidate]) -> list[Candidate]:
    """With ``on_front`` set."""

    def beaten(c: Candidate) -> bool:
        ours = (c.quality.accuracy, -c.quality.mean_macs)
        return any(
            (o.quality.accuracy, -o.quality.mean_macs) != ours
            and o.quality.accuracy >= ours[0]
            and -o.quality.mean_macs >= ours[1]
            for o in candidates
        )

    return [replace(c, on_front=not beaten(c)) for c in candidates]


def _checked(
    candidates: list[Candidate], budget: Budget, members: Mapping[str, nn.Module], example_inputs: Any
) -> list[Candidate]:
    """With ``within`` set."""
    timed = budget.latency_ms is not None
    limits = budget.limits(measure(parallel(members), example_inputs, latency=timed))
    examples = len(tensors_in(example_inputs)[0])
    checked = []
    for candidate in candidates:
        cost = measure(candidate.model, example_inputs).as_dict()
        cost["macs"] = candidate.quality.mean_macs * examples
        if timed:
            cost["latency_ms"] = latencies([candidate.model], example_inputs)[0]
        within = all((cost[name] or 0) <= limit for name, limit in limits.items())
        checked.append(replace(candidate, within=within))
    return checked
