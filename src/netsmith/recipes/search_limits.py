"""From budgets to limits on what widths foretell: latency becomes as many multiply-accumulates as keep it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from random import Random

from ..costs import Cost, predict
from ..errors import InputError
from ..plans import Budget
from ..searches.latency_table import latency_table
from ..searches.problem import Problem
from ..searches.steering import Steered, steered
from ..searches.strategies.allocation import divided
from ..searches.structure import Structure
from .steps import Progress


def limits_of(
    problem: Problem, budgets: Sequence[Budget], engine: str, seed: int, tell: Progress
) -> tuple[tuple[dict[str, float], ...], dict[int, Steered]]:
    """What each budget allows of all costs but latency; and, by its number, how a budget of latency was steered.

    Raises:
        InputError: latency, where widths may not change.
        BudgetError: latency that not even the narrowest widths keep.
    """
    whole = predict(problem.wiring, problem.wiring.sizes)
    limits: list[dict[str, float]] = []
    times: dict[int, Steered] = {}
    table = None
    for number, budget in enumerate(budgets):
        others = {k: v for k, v in asdict(budget).items() if v is not None and k != "latency_ms"}
        allowed = Budget(**others).limits(whole) if others else {}
        if budget.latency_ms is not None:
            tell("latency", number, len(budgets))
            if not problem.menus.widths:
                raise InputError(
                    "a budget of latency is kept by widths, and this search may not change any; "
                    "let the space have widths"
                )
            table = table or latency_table(problem.wiring, problem.menus.widths, round_to=problem.round_to)
            made = partial(_divided, problem, allowed, seed)
            found = steered(problem, partial(_latency_limit, budget, whole), made, table, engine=engine)
            times[number] = replace(found, others=dict(allowed))
            allowed["macs"] = min(allowed.get("macs", float("inf")), times[number].macs)
        limits.append(allowed)
    return tuple(limits), _alike(times, budgets, whole)


def _alike(times: Mapping[int, Steered], budgets: Sequence[Budget], whole: Cost) -> dict[int, Steered]:
    """All in milliseconds of the same moment: the original took another time for each budget, as machines do."""
    reference = next((steering.original_ms for steering in times.values()), 0.0)
    return {
        number: replace(
            steering,
            original_ms=reference,
            limit_ms=_latency_limit(budgets[number], whole, reference),
            measured_ms=steering.measured_ms * reference / steering.original_ms,
            sum_of_parts_ms=steering.sum_of_parts_ms * reference / steering.original_ms,
        )
        for number, steering in times.items()
    }


def _divided(problem: Problem, limits: Mapping[str, float], seed: int, macs: float) -> Structure | None:
    return divided(problem, {**limits, "macs": macs}, (), None, {}, Random(seed))


def _latency_limit(budget: Budget, whole: Cost, original_ms: float) -> float:
    return budget.limits(replace(whole, latency_ms=original_ms))["latency_ms"]
