"""The steps for machines, and the sentence about latency."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from netsmith.costs.cost import Cost
from netsmith.errors import InputError
from netsmith.reports import latency_note, steps_json


@dataclass(frozen=True)
class Step:
    name: str
    cost: Cost
    scores: dict[str, float] = field(default_factory=dict)


def test_every_step_has_the_same_keys_and_missing_values_are_none() -> None:
    steps = [
        Step("original", Cost(100, 1000, 400, 2.0), {"accuracy": 0.9}),
        Step("prune", Cost(50, 400, 200), {"accuracy": float("nan"), "f1": 0.5}),
    ]

    first, second = steps_json(steps)

    assert first == {
        "name": "original", "params": 100, "macs": 1000, "bytes": 400, "latency_ms": 2.0, "peak_bytes": None,
        "accuracy": 0.9, "f1": None,
    }  # fmt: skip
    assert second["latency_ms"] is None
    assert second["accuracy"] is None  # NaN is no JSON
    json.dumps([first, second], allow_nan=False)


def test_no_steps() -> None:
    with pytest.raises(InputError, match="at least one step: the original"):
        steps_json([])


def test_a_score_named_like_a_cost() -> None:
    with pytest.raises(InputError, match=r"'macs'.*rename it"):
        steps_json([Step("original", Cost(1, 1, 1), {"macs": 1.0})])


@pytest.mark.parametrize(
    ("latency_ms", "said"),
    [(1.9, False), (2.0, True), (2.2, True), (None, False)],
)
def test_latency_that_does_not_follow_is_said(latency_ms: float | None, said: bool) -> None:
    steps = [Step("original", Cost(100, 1000, 400, 2.0)), Step("prune", Cost(50, 400, 200, latency_ms))]

    assert (latency_note(steps) is not None) is said
    if said:
        assert "MACs fell to 40% of the original, but measured time is at 1" in str(latency_note(steps))


def test_no_note_where_macs_hardly_fell() -> None:
    steps = [Step("original", Cost(100, 1000, 400, 2.0)), Step("prune", Cost(99, 950, 396, 2.0))]

    assert latency_note(steps) is None
