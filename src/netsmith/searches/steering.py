"""Latency budgets: how many multiply-accumulates keep a limit of measured time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ..costs import compare_engines
from ..costs.fresh_processes import FOREIGN, in_fresh_processes
from ..errors import BudgetError, CaptureError, InputError, MissingExtraError
from ..plans.widths import proven_sizing
from ..wiring import Wiring
from ..wiring.proof import resized_copy
from .latency_table import LatencyTable
from .problem import Problem
from .structure import Structure

_AIM, _CLOSE = 0.975, 0.95  # of the limit: what is aimed at, and what is close enough
_MEASUREMENTS = 10
_FINEST = 0.002  # of the original's multiply-accumulates: steps that time cannot tell apart
_ROUNDS = 31
NOISE = 0.02  # of a latency: what two timings of one model differ by on a quiet machine


@dataclass(frozen=True)
class Steered:
    """One latency budget.

    Attributes:
        engine: in which time is measured.
        limit_ms: what was asked, in milliseconds.
        original_ms: of the original.
        macs: of what keeps the limit.
        measured_ms: of a model with so many, of the widths that the error curves give.
        sum_of_parts_ms: what the table of calls predicted for it, scaled so that it is right for the original.
        measurements: that it took.
        table: of the original's calls.
        others: what the budget allows of the costs other than time.
    """

    engine: str
    limit_ms: float
    original_ms: float
    macs: float
    measured_ms: float
    sum_of_parts_ms: float
    measurements: int
    table: LatencyTable
    others: Mapping[str, float] = field(default_factory=dict)

    @property
    def error(self) -> float:
        """Of the sum of parts, as a share of what was measured."""
        return self.sum_of_parts_ms / self.measured_ms - 1

    def predict(self, targets: Mapping[str, int]) -> float:
        """The sum of parts, in milliseconds, of a model with these widths."""
        wiring = self.table.wiring
        sizing, _ = proven_sizing(wiring, targets)
        return self.table.predict(sizing.sizes) * self.original_ms / self.table.predict(wiring.sizes)


def timed(models: Sequence[nn.Module], example_inputs: Any, engine: str, rounds: int = _ROUNDS) -> list[float]:
    """Median milliseconds of one warm call of each model in an engine, in turns, so that noise falls on all alike.

    Foreign engines are timed in processes of their own: see ``costs.fresh_processes``.

    Raises:
        UnknownNameError: no such engine. InputError: the engine cannot run a model; says why.
    """
    if engine in FOREIGN:
        try:
            return in_fresh_processes(models, example_inputs, engine, rounds)
        except (CaptureError, MissingExtraError) as error:
            raise InputError(f"engine {engine!r} cannot run the model: {str(error).splitlines()[0]}") from error
    named = {str(i): model for i, model in enumerate(models)}
    found = compare_engines(named, example_inputs, engines=(engine,), precisions=("fp32",), rounds=rounds)
    for timing in found:
        if timing.latency_ms is None:
            raise InputError(f"engine {engine!r} cannot run the model: {timing.why}")
    return [float(timing.latency_ms or 0.0) for timing in found]


def steered(
    problem: Problem,
    limit_of: Callable[[float], float],
    made: Callable[[float], Structure | None],
    table: LatencyTable,
    *,
    engine: str = "eager",
) -> Steered:
    """Find the multiply-accumulates with which the measured time is between 95 % and 100 % of the limit.

    The table of calls gives the first guess. Each further one follows from the one before, in proportion to what was
    missing, and faster where that was not enough.

    Args:
        problem: of the search.
        limit_of: the original's milliseconds -> the limit.
        made: limit of multiply-accumulates -> the structure to time; None where nothing keeps it.
        table: of the original.
        engine: as in ``costs.compare_engines``, in float32.

    Raises:
        BudgetError: not even the narrowest widths that were tried are fast enough; says how fast they are.
    """
    wiring = problem.wiring
    whole, parts = float(problem.cost(Structure()).macs), table.predict(wiring.sizes)
    (before,) = timed([wiring.model], wiring.example_inputs, engine)
    if before <= limit_of(before):
        return Steered(engine, limit_of(before), before, whole, before, before, 1, table)
    best, fastest, least, failures = None, before / limit_of(before), 0.0, 0
    guess = _first_guess(problem, made, table, limit_of(before) / before)
    for count in range(2, _MEASUREMENTS + 2):
        chosen = made(guess)
        if chosen is None:  # nothing is as small as that
            least = guess
            guess = (guess + (whole if best is None else best.macs)) / 2
            continue
        model, sizes = resized_to(wiring, problem.sizes(chosen))
        before, after = timed([wiring.model, model], wiring.example_inputs, engine)
        share = after / limit_of(before)
        fastest = min(fastest, share)
        failures = 0 if share <= 1 else failures + 1
        if share <= 1 and (best is None or guess > best.macs):
            predicted = table.predict(sizes) * before / parts
            best = Steered(engine, limit_of(before), before, guess, after, predicted, count, table)
        if _CLOSE <= share <= 1:
            break
        further = guess * max(_AIM / share, 0.1) ** max(failures, 1)
        if abs(further - guess) < _FINEST * whole:
            break
        guess = further if least < further < whole else (guess + (least if further <= least else whole)) / 2
    if best is None:
        limit = limit_of(before)
        raise BudgetError(
            f"the budget cannot be met: latency_ms would be {fastest * limit:,.4g}, above {limit:,.4g}, with the "
            f"narrowest widths that were tried in {engine}. Give a larger budget"
        )
    return best


def resized_to(wiring: Wiring, targets: Mapping[str, int]) -> tuple[nn.Module, Mapping[str, int]]:
    """A model of these widths, and their sizes."""
    sizing, _ = proven_sizing(wiring, targets)
    return resized_copy(wiring, sizing.sizes, sizing.attributes), sizing.sizes


def _first_guess(
    problem: Problem, made: Callable[[float], Structure | None], table: LatencyTable, share: float
) -> float:
    """Where the sum of parts is the share of the original's that is aimed at."""
    low, high = 0.0, float(problem.cost(Structure()).macs)
    limit = _AIM * share * table.predict(problem.wiring.sizes)
    for _ in range(8):
        middle = (low + high) / 2
        chosen = made(middle)
        fits = chosen is None or table.predict(proven_sizing(problem.wiring, problem.sizes(chosen))[0].sizes) <= limit
        low, high = (middle, high) if fits else (low, middle)
    return (low + high) / 2
