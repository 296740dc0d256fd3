"""Keeps count of the trials, remembers what was judged, and turns outcomes into candidates."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..costs import Cost
from .candidate import Candidate, best_first
from .problem import Problem
from .structure import Structure
from .trials import Outcome, Trial


@dataclass(frozen=True)
class Ask:
    """What is to be judged.

    Attributes:
        structure: from the menus.
        budget: number of the budget that it is for; None: of no single one.
        origin: who proposes it.
        most: the divergence beyond which it is not evaluated in full; None: it always is.
        finely: whether its layers are refitted together.
        heal: whether it is trained.
    """

    structure: Structure
    budget: int | None
    origin: str
    most: float | None = None
    finely: bool = False
    heal: bool = False

    def spec(self) -> dict[str, Any]:
        """What a trial says of it."""
        how = {"most": self.most, "finely": self.finely, "heal": self.heal}
        return {"structure": self.structure.as_json(), **how}


Run = Callable[[Sequence[Trial]], list[Outcome]]

_ENOUGH = 4  # judged structures of a budget before a small batch may reject the next
_FAR = 4.0  # times the divergence of the better half, beyond which the full evaluation is not worth its time


@dataclass(eq=False)
class Referee:
    """Judges the structures of one strategy after the other.

    Attributes:
        problem: menus, costs and limits.
        run: trials -> outcomes, in their order.
        about: digest of the model, the data and the options: in every trial's spec.
        value: scores -> the objective, higher = better.
        deadline: ``time.monotonic()`` after which no generation is begun; None: never.
    """

    problem: Problem
    run: Run
    about: str
    value: Callable[[Mapping[str, float]], float]
    deadline: float | None = None
    candidates: list[Candidate] = field(default_factory=list)
    specs: dict[str, dict[str, Any]] = field(default_factory=dict)
    left: int = 0
    origin: str = ""
    _known: dict[tuple[str, Structure], Candidate] = field(default_factory=dict)
    _trials: int = 0

    def begin(self, origin: str, trials: int) -> None:
        """The next strategy, and how many structures it may have judged. What others judged is not known to it."""
        self.origin, self.left = origin, trials

    @property
    def over(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline

    def judge(self, structures: Sequence[Structure], budget: int | None) -> list[Candidate]:
        """See ``candidate.Judge``."""
        known = {s: c for s in structures if (c := self._known.get((self.origin, s))) is not None}
        new = [s for s in dict.fromkeys(structures) if s not in known]
        new = [] if self.over else new[: self.left]
        self.left -= len(new)
        found = self.judged([Ask(each, budget, self.origin, most=self._most(budget)) for each in new])
        self._known |= {(self.origin, candidate.structure): candidate for candidate in found}
        by_structure = known | {candidate.structure: candidate for candidate in found}
        return [by_structure[s] for s in structures if s in by_structure]

    def judged(self, asks: Sequence[Ask]) -> list[Candidate]:
        """One candidate for each that is asked; those over their budget are rejected without a trial."""
        first = self._trials
        self._trials += len(asks)
        limits = [None if ask.budget is None else self.problem.limits[ask.budget] for ask in asks]
        costs = [self.problem.cost(ask.structure) for ask in asks]
        excesses = [excess(cost, limit) for cost, limit in zip(costs, limits, strict=True)]
        specs = [{"about": self.about, **ask.spec()} for ask in asks]
        trials = [Trial(first + i, spec) for i, spec in enumerate(specs) if excesses[i] is None]
        outcomes = {outcome.number: outcome for outcome in self.run(trials)} if trials else {}
        found = []
        for i, ask in enumerate(asks):
            name = f"{ask.origin}-{first + i:03d}"
            candidate = Candidate(name, ask.origin, ask.structure, costs[i], healed=ask.heal, budget=ask.budget)
            outcome = outcomes.get(first + i)
            if outcome is None:
                candidate = replace(candidate, rejected=excesses[i])
            else:
                candidate = self._scored(candidate, outcome, limits[i])
            found.append(candidate)
            self.specs[name] = specs[i]
        self.candidates += found
        return found

    def _scored(self, candidate: Candidate, outcome: Outcome, limits: Mapping[str, float] | None) -> Candidate:
        values = outcome.values
        if values is None:
            return replace(candidate, rejected=outcome.error or "it failed", seconds=outcome.seconds)
        scores = values["scores"]
        cost = Cost(**values["cost"])
        reason = values["rejected"] or excess(cost, limits)
        return replace(
            candidate,
            cost=cost,
            scores=scores,
            value=self.value(scores) if scores else candidate.value,
            divergence=values["divergence"],
            rejected=reason,
            seconds=outcome.seconds,
        )

    def _most(self, budget: int | None) -> float | None:
        """The divergence beyond which a structure of this budget is not evaluated in full."""
        same = [c for c in best_first(self.candidates) if c.budget == budget and c.origin == self.origin]
        if budget is None or len(same) < _ENOUGH:
            return None
        return _FAR * max(c.divergence or 0.0 for c in same[: len(same) // 2])


def excess(cost: Cost, limits: Mapping[str, float] | None) -> str | None:
    """How a cost exceeds the limits, in words; None where it does not."""
    for name, limit in (limits or {}).items():
        value = getattr(cost, name)
        if value is not None and value > limit:
            return f"{name} are {value:,.6g}, above {limit:,.6g}"
    return None
