"""A structure that was judged, and which of many are worth a look."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..costs import Cost
from .structure import Structure


@dataclass(frozen=True)
class Candidate:
    """One judged structure.

    Attributes:
        name: unique within its study, "allocation-007".
        origin: the strategy that proposed it.
        structure: what differs from the original.
        cost: of the built model; what was predicted where it was rejected unbuilt.
        value: the objective, higher = better whatever it is; -inf where it was not scored.
        scores: all that ``evaluate`` said.
        divergence: of its outputs from the original's on held-out batches; None where not measured.
        healed: whether it was trained after its repair; that is undone where it makes the score worse.
        predicted_ms: latency by the sum of parts, where it was measured.
        budget: number of the budget that it was made for; None: of no single one.
        rejected: why it was not scored, or is no result.
        seconds: that judging it took.
    """

    name: str
    origin: str
    structure: Structure
    cost: Cost
    value: float = float("-inf")
    scores: Mapping[str, float] = field(default_factory=dict)
    divergence: float | None = None
    healed: bool = False
    predicted_ms: float | None = None
    budget: int | None = None
    rejected: str | None = None
    seconds: float = 0.0

    @property
    def rank(self) -> tuple[float, float]:
        """To compare by: the objective; of equals the one whose outputs are nearer to the original's."""
        return (self.value, -float("inf") if self.divergence is None else -self.divergence)


Judge = Callable[[Sequence[Structure], int | None], list[Candidate]]
"""(structures, number of their budget) -> what was found of those that the trials still allow; [] when none are left.

Structures that were judged before cost nothing and come back as they were.
"""


def best_first(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Those that were scored, the best first."""
    return sorted((c for c in candidates if c.rejected is None), key=lambda c: c.rank, reverse=True)


def front(
    candidates: Iterable[Candidate], cost: str = "macs", value: Callable[[Candidate], float] | None = None
) -> list[Candidate]:
    """Those than which no other is both cheaper and better, cheapest first.

    Args:
        candidates: rejected ones are left out.
        cost: a field of ``Cost``, such as "macs" or "peak_bytes"; those without it are left out.
        value: what is to be high; None: the objective.
    """
    value = value or (lambda candidate: candidate.value)
    scored = [c for c in candidates if c.rejected is None and getattr(c.cost, cost) is not None]
    ordered = sorted(scored, key=lambda c: (getattr(c.cost, cost), -value(c), -c.rank[1]))
    found: list[Candidate] = []
    for candidate in ordered:
        if not found or value(candidate) > value(found[-1]):
            found.append(candidate)
    return found
