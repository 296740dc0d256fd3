"""What ``search`` gives back: every candidate, the front, and any point of it as a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..checks import verify
from ..costs import Cost
from ..errors import BudgetError, InputError, UnknownNameError
from ..plans import Budget, Plan
from ..plans.budget import COSTS, kept_already
from ..recovery import Repaired
from ..reports.record import RunRecord
from ..searches.candidate import Candidate, best_first, front
from ..searches.space import Menus
from ..searches.steering import NOISE, Steered
from .chaining import Earlier
from .judging import Workbench
from .result import Result
from .steps import measured_steps
from .study_record import study_record, write_study


@dataclass(frozen=True, eq=False)
class Study:
    """A finished search.

    Attributes:
        original: the model that was searched from: its cost and scores.
        candidates: all that were judged, in the order in which they were proposed; rejected ones say why.
        budgets: as given.
        objective: name of the score that was optimized.
        maximize: whether higher scores are better.
        asked: the options, after defaults.
        menus: what could be chosen.
        specs: name of a candidate -> how it is built again.
        workbench: builds candidates.
        seconds: for everything.
        latency: number of a budget of latency -> what was asked, predicted and measured.
        influence: of the blocks that might go.
        earlier: what made the model that was searched from, where plans are to be for what that was made from.
    """

    original: Candidate
    candidates: tuple[Candidate, ...]
    budgets: tuple[Budget, ...]
    objective: str
    maximize: bool
    asked: Mapping[str, Any]
    menus: Menus
    specs: Mapping[str, Mapping[str, Any]] = field(repr=False)
    workbench: Workbench = field(repr=False)
    seconds: float = 0.0
    latency: Mapping[int, Steered] = field(default_factory=dict)
    influence: Mapping[str, float] = field(default_factory=dict)
    earlier: Earlier | None = field(default=None, repr=False)

    def __getitem__(self, name: str) -> Candidate:
        for candidate in self.candidates:
            if candidate.name == name:
                return candidate
        raise UnknownNameError(
            f"no candidate is called {name!r}; the front has {', '.join(c.name for c in self.front())}"
        )

    @property
    def final(self) -> list[Candidate]:
        """Those that results are chosen from, best first: finalists, which were healed or repaired finely."""
        finalists = [c for c in self.candidates if self.specs[c.name]["heal"] or self.specs[c.name]["finely"]]
        return best_first(finalists or self.candidates)

    def front(self, cost: str = "macs", score: str | None = None) -> list[Candidate]:
        """The final candidates than which no other is both cheaper and better, cheapest first.

        Args:
            cost: "macs", "params", "bytes", "peak_bytes" or "latency_ms" (finalists of a latency budget have it).
            score: name of a score, higher = better; None: the objective.

        Raises:
            UnknownNameError: no such cost or score.
        """
        if cost not in COSTS:
            raise UnknownNameError(f"cost={cost!r} is unknown; there are {', '.join(COSTS)}")
        if score is not None and score not in self.original.scores:
            raise UnknownNameError(f"score={score!r} is unknown; evaluate gives {', '.join(self.original.scores)}")
        value = None if score is None or score == self.objective else _score(score)
        return front(self.final, cost, value)

    def best(self, budget: Budget | int | None = None) -> Candidate:
        """The best final candidate under a budget; one that was timed up to 2 % above a limit of latency keeps it.

        Args:
            budget: any; or the number of one of ``budgets``; None: the first.

        Raises:
            BudgetError: no candidate fits.
        """
        wanted = self.budgets[budget or 0] if budget is None or isinstance(budget, int) else budget
        if not isinstance(wanted, Budget):
            raise InputError(f"budget is a {type(wanted).__name__}; give e.g. netsmith.Budget(macs=0.5)")
        limits = dict(wanted.limits(self.original.cost))
        if "latency_ms" in limits:  # as when the finalists were timed: no two timings agree better
            limits["latency_ms"] *= 1 + NOISE
        for candidate in self.final:
            costs = {name: getattr(candidate.cost, name) for name in limits}
            if all(costs[name] is not None and costs[name] <= limit for name, limit in limits.items()):
                return candidate
        raise BudgetError(f"no candidate keeps {wanted}; search with this budget, or ask for one of those searched for")

    @property
    def cost(self) -> str:
        """The cost that the first budget limits first: what the front is drawn over."""
        return next(f.name for f in fields(Budget) if getattr(self.budgets[0], f.name) is not None)

    def chosen(self) -> list[Candidate]:
        """The best of each budget that a candidate keeps.

        Raises:
            BudgetError: no candidate keeps any.
        """
        found: dict[str, Candidate] = {}
        why: BudgetError | None = None
        for budget in self.budgets:
            try:
                best = self.best(budget)
                found[best.name] = best
            except BudgetError as error:
                why = error
        if not found and why is not None:
            raise why
        return list(found.values())

    def built(self, candidate: Candidate) -> Repaired:
        """The candidate's model and plan: read where they were kept, else made again, the same way."""
        self._check(candidate)
        done = self.workbench.built(self.specs[candidate.name])
        return done if self.earlier is None else replace(done, plan=done.plan.after(self.earlier.plan))

    def build(self, candidate: Candidate) -> Result:
        """The candidate as a verified model: built as it was judged, with weights from the parent.

        Returns:
            As of ``shrink``: model, plan, verdict, and the steps "original" ("before" of what was changed earlier) and
            "search".

        Raises:
            InputError: the candidate is of another study.
        """
        done, bench = self.built(candidate), self.workbench
        original = bench.model if self.earlier is None else self.earlier.original
        verdict = verify(original, done.model, done.plan, bench.example_inputs)
        models = {"original" if self.earlier is None else "before": bench.model, "search": done.model}
        return Result(done.model, done.plan, verdict, measured_steps(models, bench.example_inputs, bench.evaluate))

    def plan(self, candidate: Candidate) -> Plan:
        """The candidate's plan."""
        return self.built(candidate).plan

    def record(self, **told: Any) -> RunRecord:
        """All of it as ``run.json`` says it; ``told`` as in ``study_record``."""
        return study_record(self, **told)

    def save(self, folder: str | Path, **told: Any) -> None:
        """Write run.json, candidates.json and the front as models that ``netsmith.load`` reads; see ``write_study``.

        Raises:
            FileError: the folder cannot be written.
        """
        write_study(self, Path(folder), **told)

    def _kept(self, budget: Budget) -> dict[str, str]:
        limits = budget.limits(self.original.cost)
        known = all((cost := getattr(self.original.cost, name)) is not None and cost <= limits[name] for name in limits)
        return kept_already(budget, self.original.cost) if known and not self.asked["space"]["growth"] else {}

    def _check(self, candidate: Candidate) -> None:
        if not isinstance(candidate, Candidate):
            raise InputError(
                f"candidate is a {type(candidate).__name__}; give one of study.front() or study.candidates"
            )
        if candidate.name not in self.specs:
            raise InputError(f"candidate {candidate.name!r} is not of this study")

    def __str__(self) -> str:
        whole, peak = self.original.cost, any(budget.peak_bytes is not None for budget in self.budgets)
        lines = [
            f"Study: {len(self.candidates)} candidates in {self.seconds:.0f} s; "
            f"{'highest' if self.maximize else 'lowest'} {self.objective}",
            _line("original", self.original, whole, peak),
        ]
        lines += [f"  {budget}: {it} {why}" for budget in self.budgets for it, why in self._kept(budget).items()]
        return "\n".join([*lines, *(_line(c.name, c, whole, peak) for c in reversed(self.front()))])


def _line(name: str, candidate: Candidate, whole: Cost, peak: bool) -> str:
    cost = candidate.cost
    time = "" if cost.latency_ms is None else f"  {cost.latency_ms:.2f} ms"
    scores = "  ".join(f"{key} {value:.4f}" for key, value in candidate.scores.items())
    shares = f"{cost.macs / max(whole.macs, 1):>6.1%} MACs  {cost.params / max(whole.params, 1):>6.1%} params"
    if peak and cost.peak_bytes is not None and whole.peak_bytes is not None:
        shares += f"  {cost.peak_bytes / max(whole.peak_bytes, 1):>6.1%} peak bytes"
    return f"  {name:<18} {shares}{time}  {scores}"


def _score(name: str) -> Callable[[Candidate], float]:
    return lambda candidate: candidate.scores.get(name, float("-inf"))
