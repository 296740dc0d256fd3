"""Which candidates are better, and the front."""

from __future__ import annotations

from typing import Any

from netsmith.costs import Cost
from netsmith.searches.candidate import Candidate, best_first, front
from netsmith.searches.structure import Structure


def candidate(name: str, macs: int, value: float, **more: Any) -> Candidate:
    return Candidate(name, "test", Structure(), Cost(1, macs, 4), value, {"accuracy": value}, **more)


def test_the_front_is_what_nothing_dominates() -> None:
    found = [
        candidate("dear", 10, 0.9),
        candidate("dominated", 9, 0.5),
        candidate("cheap", 2, 0.4),
        candidate("middle", 5, 0.8),
        candidate("as dear, worse", 10, 0.7),
        candidate("rejected", 1, 1.0, rejected="over budget"),
    ]
    assert [c.name for c in front(found)] == ["cheap", "middle", "dear"]
    assert front([]) == [] and front(found, "latency_ms") == []


def test_of_equals_the_one_that_is_nearer_to_the_original() -> None:
    found = [
        candidate("far", 3, 0.8, divergence=0.2),
        candidate("near", 3, 0.8, divergence=0.1),
        candidate("better", 3, 0.9, divergence=9.0),
        candidate("unscored", 3, 0.9, rejected="it failed"),
    ]
    assert [c.name for c in best_first(found)] == ["better", "near", "far"]
    assert [c.name for c in front(found[:2])] == ["near"]
