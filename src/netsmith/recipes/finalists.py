"""The best few of each budget: repaired finely, or healed, before the choice, and timed where time is limited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..searches.candidate import Candidate, best_first
from ..searches.closing_in import closed_in
from ..searches.referee import Ask, Referee
from ..searches.steering import NOISE, Steered, timed
from ..searches.strategies.uniform import uniform_structure
from .judging import Workbench

_ROUNDS = 3


def judge_finalists(
    referee: Referee, strategies: Sequence[str], count: int, heal: bool, seed: int, times: Mapping[int, Steered]
) -> None:
    """The best of each strategy under each budget, and the uniform structure beside them.

    Under a budget of time they are first scaled to take as long as it allows; their multiply-accumulates only stood for
    that. Healing starts from layers that were refitted together. From layers that were refitted one by one it starts
    lower and sometimes ends higher, so the best of each strategy and budget is also healed from there.
    """
    judged, problem = tuple(referee.candidates), referee.problem
    asks: list[Ask] = []
    for number, limits in enumerate(problem.limits):
        for origin in dict.fromkeys((*strategies, "uniform")):
            fitting = [c for c in judged if c.origin == origin and problem.excess(c.structure, limits) <= 1]
            chosen = list(dict.fromkeys(c.structure for c in best_first(fitting)))[:count]
            if origin == "uniform" and not chosen:
                made = uniform_structure(problem, limits, seed)
                chosen = [] if made is None else [made]
            if number in times:
                scaled = [closed_in(problem, each, times[number], times[number].others, seed=seed) for each in chosen]
                chosen = list(dict.fromkeys(each for each in scaled if each is not None))
            asks += [Ask(each, number, origin, finely=True, heal=heal) for each in chosen]
    allowed = tuple(times[i].others if i in times else each for i, each in enumerate(problem.limits))
    referee.problem = replace(problem, limits=allowed)
    found = referee.judged(asks)
    if heal:
        referee.judged(_from_single_repairs(found))


def _from_single_repairs(found: Sequence[Candidate]) -> list[Ask]:
    """Asks to heal the best of each budget and strategy from layers that were refitted one by one."""
    best: dict[tuple[int | None, str], Candidate] = {}
    for candidate in best_first(found):
        best.setdefault((candidate.budget, candidate.origin), candidate)
    return [Ask(c.structure, c.budget, c.origin, heal=True) for c in best.values() if c.structure.widths]


def time_finalists(referee: Referee, bench: Workbench, times: Mapping[int, Steered]) -> None:
    """Measure the finalists of latency budgets in turns with the original; reject those that are too slow after all.

    Each of these is narrowed by what is missing and judged again, a few times.
    """
    for number, steering in times.items():
        todo = [c for c in referee.candidates if c.budget == number and c.rejected is None and _is_final(referee, c)]
        for attempt in range(_ROUNDS):
            found = [_timed(referee, bench, candidate, steering) for candidate in todo]
            if attempt == _ROUNDS - 1:
                break
            asks = [_narrower(referee, each, steering, number) for each in found if each.rejected is not None]
            judged = referee.judged([ask for ask in asks if ask is not None])
            todo = [candidate for candidate in judged if candidate.rejected is None]


def _narrower(referee: Referee, slow: Candidate, steering: Steered, number: int) -> Ask | None:
    missing = steering.limit_ms / (slow.cost.latency_ms or steering.limit_ms)
    stricter = replace(steering, limit_ms=steering.limit_ms * missing)
    found = closed_in(referee.problem, slow.structure, stricter, steering.others)
    heal = bool(referee.specs[slow.name]["heal"])
    return None if found is None else Ask(found, number, slow.origin, finely=True, heal=heal)


def _is_final(referee: Referee, candidate: Candidate) -> bool:
    spec = referee.specs[candidate.name]
    return bool(spec["finely"] or spec["heal"])


def _timed(referee: Referee, bench: Workbench, candidate: Candidate, steering: Steered) -> Candidate:
    """The candidate with its latency, as a share of the original's at the same time, in the referee's list too."""
    model = bench.built(referee.specs[candidate.name]).model
    before, after = timed([bench.model, model], bench.example_inputs, steering.engine)
    latency = steering.original_ms * after / before
    too_slow = latency > steering.limit_ms * (1 + NOISE)
    why = f"latency_ms is {latency:,.4g}, above {steering.limit_ms:,.4g}" if too_slow else None
    predicted = None
    if not candidate.structure.cut:
        predicted = steering.predict(referee.problem.sizes(candidate.structure))
    cost = replace(candidate.cost, latency_ms=latency)
    found = replace(candidate, cost=cost, predicted_ms=predicted, rejected=why)
    referee.candidates[referee.candidates.index(candidate)] = found
    return found
