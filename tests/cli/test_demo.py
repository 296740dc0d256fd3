"""``netsmith demo``: what it prints. The demo itself is tested in tests/recipes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from netsmith.checks.verdict import Check, Verdict
from netsmith.cli import app
from netsmith.costs import Cost
from netsmith.errors import FileError
from netsmith.plans import Plan
from netsmith.recipes import demo as recipe


def pretend(monkeypatch: pytest.MonkeyPatch, *, status: Any = "ok", equal: bool = True) -> None:
    from netsmith.recipes.result import Step

    def run_demo(out: Path, *, seed: int, report: Any) -> recipe.DemoResult:
        for stage in ("train", "shrink", "distil", "measure", "reload"):
            report(recipe.DemoProgress(stage, 0, 2))
            report(recipe.DemoProgress(stage, 2, 2, "loss 0.1"))
        steps = (
            Step("original", Cost(100, 1000, 400, 2.0), {"accuracy": 0.98, "f1": 0.97}),
            Step("prune", Cost(30, 240, 120, 1.0), {"accuracy": 0.5, "f1": 0.4}),
        )
        plan = Plan((), {}, {}, {}, "")
        return recipe.DemoResult(out, steps, plan, Verdict((Check("outputs", status, "as promised"),)), equal, 61.2)

    monkeypatch.setattr(recipe, "run_demo", run_demo)


def test_it_prints_the_table_and_what_to_try_next(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    result = CliRunner().invoke(app, ["demo", "--out", "there"])
    assert result.exit_code == 0
    for text in (
        "original",
        "0.9800",
        "24%",
        "bit-equal",
        "there/report.html",
        "61 s",
        "Try next:",
        "netsmith inspect",
    ):
        assert text in result.stdout
    assert [line.split()[0] for line in result.stderr.splitlines()] == ["train", "prune", "distil", "measure", "save,"]


def test_json_is_all_of_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    data = json.loads(CliRunner().invoke(app, ["demo", "--json"]).stdout)
    assert [step["name"] for step in data["steps"]] == ["original", "prune"]
    assert data["steps"][1]["macs"] == 240
    assert data["reload_bit_equal"] is True
    assert data["verdict"]["ok"] is True


@pytest.mark.parametrize("fault", [{"status": "failed"}, {"equal": False}])
def test_a_result_that_is_wrong_is_exit_code_1(monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any]) -> None:
    pretend(monkeypatch, **fault)
    result = CliRunner().invoke(app, ["demo"])
    assert result.exit_code == 1
    assert "FAILED" in result.stdout or "DIFFERENT" in result.stdout


def test_a_folder_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_demo(*args: Any, **kwargs: Any) -> None:
        raise FileError("there is not empty")

    monkeypatch.setattr(recipe, "run_demo", run_demo)
    result = CliRunner().invoke(app, ["demo", "--out", "there"])
    assert (result.exit_code, result.stderr) == (2, "error: there is not empty\n")
