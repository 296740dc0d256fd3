"""A search whose workers are killed."""

from __future__ import annotations

from typing import Any

from netsmith.plans import Budget
from netsmith.recipes import Study, search
from search_problems import task
from trial_work import Killer


def told(study: Study) -> list[Any]:
    candidates = [(c.name, c.structure, c.cost, c.scores, c.rejected) for c in study.candidates]
    return [candidates, [c.name for c in study.front()]]


def test_two_of_four_workers_killed() -> None:
    model, x, data = task()
    options: dict[str, Any] = {
        "data": data,
        "budgets": [Budget(macs=0.7), Budget(macs=0.4)],
        "strategy": "random",
        "trials": 8,
        "finalists": 2,
        "heal": 1,
    }
    undisturbed = search(model, x, **options)
    with Killer(2) as killer:
        disturbed = search(model, x, **options, workers=4)
    assert killer.killed == 2
    assert told(disturbed) == told(undisturbed)
    assert len(undisturbed.front()) >= 2
    assert all(c.rejected is None for c in disturbed.candidates)
