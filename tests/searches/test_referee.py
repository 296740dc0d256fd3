"""Counts trials, rejects what costs too much before it is built, and turns outcomes into candidates."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from netsmith.searches.referee import Ask, Referee
from netsmith.searches.space import Space
from netsmith.searches.structure import Structure, structure, structure_from_json
from netsmith.searches.trials import Outcome, Trial
from search_problems import problem

INNER = "blocks.0.wide.weight:0"
FOUND = problem(Space(steps=16), (0.99, 0.5))


def narrowed(width: int) -> Structure:
    return structure({INNER: width})


class Runs:
    """Divergence 1 / width; scores the width; the structure of width 3 fails."""

    def __init__(self) -> None:
        self.specs: list[Mapping[str, Any]] = []

    def __call__(self, trials: Sequence[Trial]) -> list[Outcome]:
        self.specs += [trial.spec for trial in trials]
        return [self.outcome(trial) for trial in trials]

    def outcome(self, trial: Trial) -> Outcome:
        chosen = structure_from_json(trial.spec["structure"])
        width = dict(chosen.widths).get(INNER, 16)
        if width == 3:
            return Outcome(trial.number, None, 0.1, "the disk is full")
        far = trial.spec["most"] is not None and 1 / width > trial.spec["most"]
        values: dict[str, Any] = {"cost": FOUND.cost(chosen).as_dict(), "divergence": 1 / width}
        values |= {"rejected": "too far" if far else None, "scores": {} if far else {"width": float(width)}}
        return Outcome(trial.number, values, 0.1)


def referee(**more: Any) -> tuple[Referee, Runs]:
    runs = Runs()
    made = Referee(FOUND, runs, "this model", lambda scores: scores["width"], **more)
    made.begin("test", 10)
    return made, runs


def test_trials_are_counted_and_structures_judged_once() -> None:
    judge, runs = referee()
    first = judge.judge([narrowed(8), narrowed(9)], 0)
    again = judge.judge([narrowed(9), narrowed(10)], 0)
    assert [c.value for c in first] == [8, 9] and again[0] is first[1] and judge.left == 7
    assert len(runs.specs) == 3 and runs.specs[0]["about"] == "this model"
    assert [c.name for c in judge.candidates] == ["test-000", "test-001", "test-002"]
    assert judge.specs["test-002"] == runs.specs[2]
    judge.begin("other", 1)
    assert [c.name for c in judge.judge([narrowed(9), narrowed(8)], 0)] == ["other-003"]
    assert judge.judge([narrowed(7)], 0) == []


def test_over_the_budget_is_not_run() -> None:
    judge, runs = referee()
    (found,) = judge.judge([narrowed(15)], 1)
    assert runs.specs == [] and found.rejected is not None and found.rejected.startswith("macs are ")


def test_what_fails_says_why() -> None:
    judge, _ = referee()
    (found,) = judge.judge([narrowed(3)], 0)
    assert found.rejected == "the disk is full" and found.value == float("-inf")


def test_what_is_far_from_the_better_half_is_not_evaluated() -> None:
    judge, runs = referee()
    judge.judge([narrowed(width) for width in (8, 10, 12, 14)], 0)
    assert {spec["most"] for spec in runs.specs} == {None}
    far, near = judge.judge([narrowed(1), narrowed(6)], 0)
    assert runs.specs[-1]["most"] == 4 / 12
    assert far.rejected == "too far" and far.scores == {} and near.rejected is None
    judge.judge([narrowed(5)], None)
    assert runs.specs[-1]["most"] is None


def test_finalists_are_always_evaluated() -> None:
    judge, runs = referee()
    (found,) = judge.judged([Ask(narrowed(8), 0, "test", finely=True, heal=True)])
    assert found.healed and runs.specs[0]["finely"] and runs.specs[0]["most"] is None


def test_nothing_is_begun_when_the_time_is_up() -> None:
    judge, runs = referee(deadline=time.monotonic() - 1)
    assert judge.judge([narrowed(8)], 0) == [] and runs.specs == []
