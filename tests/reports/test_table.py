"""The terminal table."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import pytest
from rich.console import Console

from netsmith.costs.cost import Cost
from netsmith.errors import InputError
from netsmith.reports import steps_table


@dataclass(frozen=True)
class Step:
    name: str
    cost: Cost
    scores: dict[str, float] = field(default_factory=dict)


def printed(steps: list[Step], width: int = 140) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(steps_table(steps))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().replace("\u00a0", " ")


STEPS = [
    Step("original", Cost(2_000_000, 40_000_000, 8_000_000, 2.0), {"accuracy": 0.98}),
    Step("prune", Cost(500_000, 10_000_000, 2_000_000, 0.5), {"accuracy": 0.25, "f1": 0.2}),
]


def test_each_row_tells_values_and_shares() -> None:
    heading, _, original, prune = [line for line in printed(STEPS).splitlines() if line.strip()]

    assert heading.split() == ["step", "params", "MACs", "bytes", "latency", "accuracy", "f1"]
    assert " ".join(original.split()) == "original 2.00 M 40.0 M 8.00 MB 2.00 ms 0.9800 –"
    assert " ".join(prune.split()) == "prune 500 k (25%) 10.0 M (25%) 2.00 MB (25%) 0.50 ms (25%) 0.2500 0.2000"


def test_missing_latency_is_a_dash() -> None:
    text = printed([STEPS[0], Step("prune", Cost(1, 1, 1))])

    assert next(line for line in text.splitlines() if "prune" in line).count("–") == 2  # latency, accuracy


def test_every_word_fits_80_columns() -> None:
    text = printed(STEPS, width=80)

    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_names_are_no_markup() -> None:
    assert "[red]x" in printed([Step("[red]x", Cost(1, 1, 1), {"[b]score": 1.0})])


def test_caption_says_that_time_did_not_follow() -> None:
    text = printed([STEPS[0], Step("prune", Cost(1, 1, 1, 2.0))])

    assert "measured time is at" in text


def test_no_steps() -> None:
    with pytest.raises(InputError, match="at least one step"):
        steps_table([])
