"""``netsmith export`` and ``netsmith measure --engines`` as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import netsmith
from netsmith.cli import app
from netsmith.cli.models import ModelSource, state_digest
from netsmith.cli.saved import source_text
from netsmith.reports.record import RunRecord, read_run, write_run

FILE = """
import torch
from torch import nn


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), (1, 6)


def batches():
    return [torch.randn(8, 6) for _ in range(3)]
"""


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(FILE)
    scope: dict = {}
    exec(FILE, scope)  # noqa: S102
    model, shape = scope["model"]()
    plan = netsmith.plan_removal(netsmith.trace(model, torch.randn(shape)), keep=0.5)
    beside = {"source.json": source_text(ModelSource("net.py:model"), state_digest(model))}
    netsmith.save(netsmith.apply(model, plan), "small", plan=plan, beside=beside)
    return "small"


def test_export(saved: str) -> None:
    pytest.importorskip("onnxruntime")
    args = ["export", saved, "--to", "onnx", "--model", "net.py:model", "--out", "made"]
    done = CliRunner().invoke(app, [*args, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["file"] == "model.onnx" and told["largest_difference"] < 1e-5 and told["batches"] == [1, 2]
    args = [
        "export",
        saved,
        "--to",
        "onnx",
        "--model",
        "net.py:model",
        "--out",
        "int8",
        "--calibrate",
        "net.py:batches",
    ]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 0, done.output
    assert "int8; run with 1 and 2 examples" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "tensorrt", "--out", "made"], "there is no target 'tensorrt'"),
        (["--to", "torch-export", "--out", "made", "--calibrate", "net.py:batches"], "calibration makes int8"),
        (["--to", "onnx", "--out", "small"], "nothing is overwritten"),
    ],
)
def test_bad_input_is_one_message(saved: str, options: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["export", saved, "--model", "net.py:model", *options])
    assert done.exit_code == 2
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not Path("made").exists()


def test_engines_of_original_and_result(saved: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import netsmith.costs as costs

    few = {"eager": ("fp32", "bf16")}
    real = costs.compare_engines
    monkeypatch.setattr(costs, "compare_engines", lambda *a, **k: real(*a, **k, engines=few, rounds=1))
    done = CliRunner().invoke(app, ["measure", "net.py:model", "--engines", "--result", saved, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [(t["model"], t["precision"]) for t in told["timings"]] == [
        (model, precision) for model in ("original", "result") for precision in ("fp32", "bf16")
    ]
    assert set(told["fastest"]) == {"original", "result"} and "int8 is left out" in done.stderr
    done = CliRunner().invoke(app, ["measure", "net.py:model", "--engines"])
    assert done.exit_code == 0 and "fastest for original: eager" in done.stdout

    measured = ["measure", saved, "--model", "net.py:model", "--engines", "--keep"]
    done = CliRunner().invoke(app, measured)
    assert done.exit_code == 2 and "small has no run.json" in done.stderr
    write_run(Path(saved), RunRecord(title="small", model="net.py:model", date="2026-11-22"))
    done = CliRunner().invoke(app, measured)
    assert done.exit_code == 0 and "original, ms" in done.stdout and "fastest for result: eager" in done.stdout
    rows = read_run(Path(saved)).engines
    assert [(row.engine, row.precision, row.batch) for row in rows] == [("eager", "fp32", 1), ("eager", "bf16", 1)]
    assert all(row.original_ms and row.result_ms for row in rows)
    assert CliRunner().invoke(app, ["report", saved]).exit_code == 0
    assert "the fastest measured here" in Path(saved, "report.html").read_text(encoding="utf-8")


def test_result_without_engines(saved: str) -> None:
    done = CliRunner().invoke(app, ["measure", "net.py:model", "--result", saved])
    assert done.exit_code == 2 and "give --engines too" in done.stderr
    engines = ["--model", "net.py:model", "--engines"]
    done = CliRunner().invoke(app, ["measure", saved, *engines, "--result", saved])
    assert done.exit_code == 2 and "small is timed beside the original that it was made from" in done.stderr
    done = CliRunner().invoke(app, ["measure", "net.py:model", "--engines", "--keep"])
    assert done.exit_code == 2 and "--keep writes into the folder of a result" in done.stderr
