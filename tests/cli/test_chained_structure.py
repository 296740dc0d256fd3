"""``shrink``, ``cut``, ``merge``, ``grow``, ``search`` and ``inspect`` go on with what another command saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from netsmith.cli import app
from netsmith.reports.record import read_run


def run(*args: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, list(args))
    assert done.exit_code == code, done.output
    return done


@pytest.fixture
def pruned(file: str) -> str:
    run("shrink", f"{file}:model", "--budget", "macs=60%", "--out", "pruned")
    return "pruned"


def chained(file: str, *args: str, out: str) -> dict[str, Any]:
    """The command's JSON; its result is verified against the original, measured, and read again."""
    original = ("--model", f"{file}:model")
    told: dict[str, Any] = json.loads(run(*args, *original, "--out", out, "--json").stdout)
    assert told["verdict"]["ok"] and told["steps"][0]["name"] == "before"
    assert read_run(Path(out)).steps[0].name == "before"
    run("verify", out, *original)
    macs = json.loads(run("measure", out, *original, "--no-latency", "--json").stdout)["macs"]
    assert macs == told["steps"][-1]["macs"]
    return told


def test_a_pruned_network_is_cut_pruned_and_grown(file: str, pruned: str) -> None:
    data = ("--data", f"{file}:batches")
    cut = chained(file, "cut", pruned, *data, "--blocks", "1", "--eval", f"{file}:batches", out="cut")
    assert len(cut["blocks"]) == 1 and "accuracy" in cut["steps"][0]
    small = chained(file, "shrink", "cut", *data, "--budget", "macs=80%", "--heal", "1", out="small")
    assert small["steps"][0]["macs"] == cut["steps"][-1]["macs"] < cut["steps"][0]["macs"]
    assert small["steps"][-1]["macs"] <= 0.8 * small["steps"][0]["macs"]
    grown = chained(file, "grow", "small", "--widen", "*=2.0", out="grown")
    assert grown["widened"] and grown["steps"][-1]["macs"] > small["steps"][-1]["macs"]
    assert len(json.loads(Path("grown/plan.json").read_text())["before"]) == 3


def test_a_pruned_network_is_shrunk_in_depth_too(file: str, pruned: str) -> None:
    shrink = ("shrink", pruned, "--budget", "macs=25%", "--depth")
    small = chained(file, *shrink, "--data", f"{file}:batches", out="small")
    assert small["steps"][-1]["macs"] <= 0.25 * small["steps"][-3]["macs"]
    plan = json.loads(Path("small/plan.json").read_text())
    assert len(plan["before"]) == 2 and "block" in plan["before"][1]["edits"][0]
    refused = run(*shrink, "--model", f"{file}:model", "--out", "none", code=2)
    assert "give data" in refused.stderr


def test_mirror_images_repair_too(file: str, pruned: str) -> None:
    shrink = ("shrink", pruned, "--budget", "macs=60%", "--data", f"{file}:batches")
    chained(file, *shrink, out="plain")
    told = chained(file, *shrink, "--mirror", out="mirrored")
    assert told["steps"][-1]["macs"] <= 0.6 * told["steps"][-3]["macs"]
    assert Path("plain/model.safetensors").read_bytes() != Path("mirrored/model.safetensors").read_bytes()


def test_influence_is_told_by_the_originals_names(file: str) -> None:
    data = ("--data", f"{file}:batches")
    run("cut", f"{file}:model", *data, "--blocks", "1", "--no-maps", "--out", "cut")
    gone = int(json.loads(Path("cut/plan.json").read_text())["edits"][0]["block"].rpartition(".")[2])
    told = chained(file, "cut", "cut", *data, "--blocks", "1", "--no-maps", out="again")
    measured = {block.name: block.influence for block in read_run(Path("again")).blocks if block.influence is not None}
    left = [f"blocks.{n}" for n in range(4) if n != gone]
    assert measured == {name: told["influence"][f"blocks.{n}"] for n, name in enumerate(left)}


def test_a_cut_network_is_merged(file: str) -> None:
    data = ("--data", f"{file}:batches")
    run("cut", f"{file}:model", *data, "--blocks", "1", "--out", "cut")
    merged = chained(file, "merge", "cut", *data, "--pairs", "1", out="merged")["merged"]
    assert len([each for each in merged if each["how"] != "exact"]) == 1


def test_a_pruned_network_is_searched(file: str, pruned: str) -> None:
    data = ("--data", f"{file}:batches", "--eval", f"{file}:batches", "--model", f"{file}:model")
    search = ("search", pruned, *data, "--budget", "macs=70%", "--depth", "--trials", "3", "--finalists", "1")
    told = json.loads(run(*search, "--out", "found", "--json").stdout)
    before = json.loads(run("measure", pruned, *data[-2:], "--no-latency", "--json").stdout)
    assert told["original"]["macs"] == before["macs"]
    for point in told["front"]:
        assert point["verified"] and point["macs"] <= 0.7 * before["macs"]
        run("verify", point["folder"], *data[-2:])
    record = read_run(Path("found"))
    assert record.steps[0].name == "before" and record.model == f"{file}:model"
    assert next(axis.before for axis in record.axes) == 6  # of the original, not of what was searched


def test_what_is_saved_is_inspected(file: str, pruned: str) -> None:
    original = ("--model", f"{file}:model")
    sizes = {axis["size"] for axis in json.loads(run("inspect", pruned, *original, "--json").stdout)["axes"]}
    assert sizes != {axis["size"] for axis in json.loads(run("inspect", f"{file}:model", "--json").stdout)["axes"]}
    assert "If you trust it" in run("inspect", pruned, code=2).stderr


def test_zeros_that_refitting_fills_are_told(file: str) -> None:
    original = ("--model", f"{file}:model")
    run("sparsify", f"{file}:model", "--share", "0.5", "--keep-dead", "--out", "sparse")
    shrink = ("shrink", "sparse", *original, "--budget", "macs=80%")
    done = run(*shrink, "--data", f"{file}:batches", "--out", "refitted")
    assert "refitting filled zeros that sparsify had set: 50% of the weights were zero" in done.stderr
    assert "zeros" not in run(*shrink, "--out", "plain").stderr


def test_integers_are_not_changed_further(file: str) -> None:
    pytest.importorskip("torchao")
    original, data = ("--model", f"{file}:model"), ("--data", f"{file}:batches")
    run("quantize", f"{file}:model", "--scheme", "int8", "--out", "int8")
    budget = ("--budget", "macs=50%")
    commands = [("shrink", *budget), ("cut", *data, "--blocks", "1"), ("merge",), ("grow", "--deepen", "1")]
    commands += [("search", *data, "--eval", data[1], *budget), ("inspect",)]
    for name, *options in commands:
        out = () if name == "inspect" else ("--out", "x")
        done = run(name, "int8", *options, *original, *out, code=2)
        assert "int8 stores weights as integers, whose structure is not read again" in done.stderr
    assert not Path("x").exists()
