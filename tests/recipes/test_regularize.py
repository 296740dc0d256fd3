"""The step ``regularize``: a penalty drives units to zero, and they go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from netsmith.checks import verify
from netsmith.errors import InputError
from netsmith.files import load
from netsmith.recipes import plan_recipe, run_recipe
from netsmith.reports.record import StepRecord
from netsmith.sources.models import ModelSource, build_structure, open_model
from recipe_networks import PRESSED

HOW = {"epochs": 40, "lr": 0.05, "weight_decay": 0.0, "clip": None}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(PRESSED)


def recipe(*steps: Any) -> dict[str, Any]:
    return {"model": "net.py:model", "data": "net.py:batches", "eval": "net.py:held_out", "steps": list(steps)}


def macs(step: StepRecord) -> int:
    assert step.cost is not None
    return step.cost.macs


@pytest.mark.parametrize(
    "options",
    [
        {"strength": 0.003, "threshold": 0.1},
        {"penalty": "slimming", "strength": 0.1, "threshold": 0.3},
        {"penalty": "l0", "strength": 0.02, "threshold": 0.0, "optimizer": "adamw", "lr": 0.1},
    ],
    ids=lambda options: options.get("penalty", "group_lasso"),
)
def test_units_go_to_zero_and_are_removed(options: dict[str, Any]) -> None:
    asked = recipe({"finetune": {"epochs": 5, "lr": 0.1}}, {"regularize": {**HOW, **options}})
    dry = plan_recipe(asked)[1]
    assert dry.sure == "not known" and dry.after == dry.before and "drives to zero" in dry.said
    done = run_recipe(asked, "out")
    before, after = done.record.steps[1:]
    assert done.ok and after.kind == "regularize" and macs(after) < 0.9 * macs(before)
    assert after.scores["accuracy"] > 0.7 and any("units removed" in line for line in after.said)
    source = ModelSource("net.py:model")
    loaded, original = load("out/steps/02-regularize", lambda: build_structure(source)), open_model(source)
    assert done.plan is not None and verify(original.model, loaded, done.plan, original.example_inputs).ok
    assert run_recipe(asked, "out", resume=True).record.steps[-1].cached


def test_growing_removes_what_a_budget_chose() -> None:
    growing = {"penalty": "growing", "budget": {"macs": 0.5}, "rise": 0.05, "every": 2, **HOW}
    asked = recipe({"regularize": growing}, {"distil": {"epochs": 1, "lr": 0.02}})
    dry, _ = plan_recipe(asked)
    assert dry.sure == "about" and dry.after.macs <= 0.5 * dry.before.macs
    done = run_recipe(asked, "out")
    assert done.ok and macs(done.record.steps[1]) == dry.after.macs


def test_without_removal_the_structure_stays() -> None:
    asked = recipe({"regularize": {"penalty": "l1", "strength": 0.003, "remove": False, **HOW}}, {"inspect": {}})
    assert plan_recipe(asked)[0].sure == "same"
    done = run_recipe(asked, "out")
    assert done.ok and macs(done.record.steps[1]) == macs(done.record.steps[0])
    before = open_model(ModelSource("net.py:model")).model[3].weight  # type: ignore[index, union-attr]
    assert done.model[3].weight.abs().sum() < before.abs().sum()  # type: ignore[index, union-attr, operator]


def test_gates_do_not_keep_zeros() -> None:
    steps = {"sparsify": {"share": 0.3, "data": None}}, {"regularize": {"penalty": "l0", "strength": 0.1, "epochs": 1}}
    with pytest.raises(InputError, match="penalty l0 does not keep the zeros of sparsify"):
        run_recipe(recipe(*steps), "out")
    kept = run_recipe(recipe(steps[0], {"regularize": {"strength": 0.01, "remove": False, "epochs": 1}}), "kept")
    assert kept.ok and (kept.model[3].weight == 0).float().mean() > 0.2  # type: ignore[index, union-attr, operator]
