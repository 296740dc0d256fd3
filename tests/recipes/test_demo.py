"""The demo, reduced: narrower and shorter than what the user runs, the same code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from netsmith.checks.classification import classification
from netsmith.data import batches, digits
from netsmith.errors import FileError
from netsmith.files import load
from netsmith.recipes.demo import DemoProgress, DemoResult, DemoSettings, run_demo
from netsmith.reports.record import read_run
from netsmith.reports.run_page import run_page
from netsmith.zoo import digits_resnet

REDUCED = DemoSettings(width=16, epochs=14, distil_epochs=8)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[DemoResult, list[DemoProgress]]:
    seen: list[DemoProgress] = []
    state = torch.get_rng_state()
    result = run_demo(tmp_path_factory.mktemp("runs") / "out" / "demo", report=seen.append, settings=REDUCED)
    assert torch.equal(torch.get_rng_state(), state)
    return result, seen


def test_the_original_is_good_and_the_result_is_a_quarter_of_it(run) -> None:
    steps = {step.name: step for step in run[0].steps}
    assert list(steps) == ["original", "prune", "repair", "distil"]
    original = steps["original"]
    assert original.scores["accuracy"] >= 0.97
    for step in run[0].steps[1:]:
        assert step.cost.macs <= 0.25 * original.cost.macs
        assert step.cost.params < 0.4 * original.cost.params
    assert steps["repair"].scores["accuracy"] > steps["prune"].scores["accuracy"] + 0.2
    assert steps["distil"].scores["accuracy"] >= 0.95
    assert steps["distil"].scores["f1"] >= 0.95


def test_it_is_verified_and_reloads_bit_equal(run) -> None:
    assert run[0].verdict.ok, str(run[0].verdict)
    assert run[0].reload_bit_equal


def test_the_files(run) -> None:
    result, _ = run
    assert {f.name for f in result.folder.iterdir()} == {
        "model.safetensors",
        "plan.json",
        "card.md",
        "summary.json",
        "run.json",
        "report.html",
    }
    assert [f.name for f in result.folder.parent.iterdir()] == ["demo"]
    summary = json.loads((result.folder / "summary.json").read_text())
    assert [step["name"] for step in summary] == ["original", "prune", "repair", "distil"]
    for step in summary:
        assert list(step) == ["name", "params", "macs", "bytes", "latency_ms", "peak_bytes", "accuracy", "f1"]
        assert all(step[key] > 0 for key in ("params", "macs", "bytes", "latency_ms", "peak_bytes"))
    run_record = read_run(result.folder)
    assert run_record.kind == "demo" and run_record.seconds > 0
    assert [check.name for check in run_record.steps[-1].checks][-1] == "reload"
    assert all(check.status != "failed" for check in run_record.steps[-1].checks)
    assert run_record.steps[-1].scores == result.steps[-1].scores
    assert [len(step.classes.confusion) for step in run_record.steps if step.classes] == [10, 10]
    assert {axis.name: (axis.before, axis.after) for axis in run_record.axes}["fc.weight:0"] == (10, 10)
    assert sum(axis.after < axis.before for axis in run_record.axes) > 3
    assert len(load_file(result.folder / "model.safetensors")) == len(digits_resnet().state_dict())
    html = (result.folder / "report.html").read_text()
    assert html == run_page(run_record)
    assert "distil" in html
    assert 'src="http' not in html


def test_the_saved_model_has_the_reported_scores(run) -> None:
    result, _ = run
    model = load(result.folder, lambda: digits_resnet(width=REDUCED.width))
    assert classification(model, batches(digits().test, 512)) == result.steps[-1].scores


def test_progress_goes_through_the_stages_in_order(run) -> None:
    _, seen = run
    stages = list(dict.fromkeys(p.stage for p in seen))
    assert stages == ["train", "shrink", "distil", "measure", "reload"]
    assert all(0 <= p.done <= p.total and p.total >= 1 for p in seen)
    last = {p.stage: p for p in seen}
    assert all(p.done == p.total for p in last.values())


def stop(progress: DemoProgress) -> None:
    raise KeyboardInterrupt


def test_an_interrupted_run_leaves_nothing_and_an_earlier_demo_in_place(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_demo(tmp_path / "demo", report=stop, settings=REDUCED)
    assert list(tmp_path.iterdir()) == []

    earlier = tmp_path / "demo" / "run.json"
    earlier.parent.mkdir()
    earlier.write_text('{"kind": "demo"}')
    with pytest.raises(KeyboardInterrupt):  # accepted, so the training starts
        run_demo(tmp_path / "demo", report=stop, settings=REDUCED)
    assert earlier.read_text() == '{"kind": "demo"}'
    assert [f.name for f in tmp_path.iterdir()] == ["demo"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"thesis.tex": "mine"}, "is not empty and holds no earlier demo; give a new folder"),
        ({"model.safetensors": "mine", "plan.json": "{}"}, "is not empty and holds no earlier demo"),
        ({"run.json": '{"kind": "demo"}', "thesis.tex": "mine"}, "is not empty and holds no earlier demo"),
        ({"run.json": '{"kind": "de'}, "cannot be used for the demo"),
    ],
)
def test_a_folder_with_something_else_is_refused_before_the_training(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(FileError, match=message):
        run_demo(tmp_path, report=stop)
    assert {f.name: f.read_text() for f in tmp_path.iterdir()} == files


def test_a_path_that_cannot_be_written_is_refused_before_the_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "demo"):
        with pytest.raises(FileError, match="give another folder"):
            run_demo(out, report=stop)
