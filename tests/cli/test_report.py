"""``netsmith report``, and the record that every command writes."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import netsmith.wiring
from html_pages import Page
from netsmith.cli import app
from netsmith.errors import CaptureError
from netsmith.reports.record import RUN, read_run, write_run
from run_records import full_run, small_run

MODEL_FILE = """
import torch
from torch import nn


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 3)), (2, 4)


def batches():
    g = torch.Generator().manual_seed(0)
    return [(torch.randn(16, 4, generator=g), torch.randint(0, 3, (16,), generator=g)) for _ in range(3)]
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(MODEL_FILE)
    for name, run in (("a", full_run()), ("b", small_run())):
        Path(name).mkdir()
        write_run(Path(name), run)
    return tmp_path


def run(*args: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, list(args))
    assert result.exit_code == code, f"exit code {result.exit_code}\n{result.output}\n{result.exception!r}"
    return result


def test_a_page_beside_the_run(here: Path) -> None:
    assert run("report", "a").stdout == "Written: a/report.html\n"
    assert "A network, searched" in Page(Path("a/report.html").read_text(encoding="utf-8")).headings
    told = json.loads(run("report", "a", "--out", "elsewhere/page.html", "--json").stdout)
    assert told == {"page": "elsewhere/page.html", "runs": ["a"]}
    assert Path("elsewhere/page.html").read_text() == Path("a/report.html").read_text()


def test_several_are_compared(here: Path) -> None:
    run("report", "a", "b")
    page = Page(Path("comparison.html").read_text(encoding="utf-8"))
    assert page.headings[0] == "2 runs compared"
    assert [row[0] for row in page.rows[:3]] == ["run", "a", "b"]


def test_open_shows_the_page(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    run("report", "b", "--open")
    assert opened == [(here / "b/report.html").as_uri()]
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    assert "no browser could be started; open b/report.html yourself" in run("report", "b", "--open").stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nowhere"], "nowhere has no run.json; give a folder that a netsmith command wrote"),
        (["a", "nowhere"], "nowhere has no run.json"),
        (["broken"], "broken/run.json is no record of a run: title: Field required"),
        (["a", "a"], "a folder is named twice"),
        (["a", "--out", "net.py"], "net.py is there and was not written by netsmith"),
    ],
)
def test_bad_input(here: Path, args: list[str], message: str) -> None:
    Path("broken").mkdir()
    Path("broken", RUN).write_text("{}")
    refused = run("report", *args, code=2)
    assert refused.stdout == ""
    assert refused.stderr.count("error: ") == 1 and message in refused.stderr
    assert not list(here.rglob("*.html"))


def test_commands_write_the_record_and_chains_tell_of_the_whole_chain(here: Path) -> None:
    data = ["--data", "net.py:batches", "--eval", "net.py:batches"]
    run("shrink", "net.py:model", "--budget", "params=50%", *data, "--out", "small")
    first = read_run(Path("small"))
    assert first.command == (
        "netsmith shrink net.py:model --budget params=50% --data net.py:batches --eval net.py:batches --out small",
    )
    assert first.asked == {
        "model": "net.py:model",
        "budget": ["params=50%"],
        "data": "net.py:batches",
        "eval": "net.py:batches",
        "seed": 0,
        "depth": False,
        "mirror": False,
    }
    assert [step.name for step in first.steps] == ["original", "prune", "repair"]
    assert [len(step.classes.f1) for step in first.steps if step.classes] == [3, 3]
    (inner,) = [axis for axis in first.axes if axis.name == "0.weight:0"]
    assert inner.before == 12 > inner.after
    run("sparsify", "small", "--model", "net.py:model", "--share", "0.5", *data, "--out", "sparse")
    second = read_run(Path("sparse"))
    assert second.steps[0].name == "before" and second.steps[0].scores == first.steps[-1].scores
    assert second.steps[0].classes == first.steps[-1].classes
    assert next(axis for axis in second.axes if axis.name == "0.weight:0").before == 12
    run("finetune", "small", "--model", "net.py:model", "--epochs", "1", *data, "--out", "tuned")
    third = read_run(Path("tuned"))
    assert [step.name for step in third.steps] == ["original", "before", "finetune"]
    assert third.steps[0].classes == first.steps[0].classes
    for folder in ("small", "sparse", "tuned"):
        run("report", folder)
        run("verify", folder, "--model", "net.py:model")


def test_a_model_that_cannot_be_read_again_is_saved_all_the_same(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(model: object, example_inputs: object) -> None:
        raise CaptureError("forward is in a mood")

    monkeypatch.setattr(netsmith.wiring, "trace", refuse)
    done = run("shrink", "net.py:model", "--budget", "params=50%", "--out", "small")
    assert "run.json tells of no widths and blocks: forward is in a mood" in done.stderr
    assert read_run(Path("small")).axes == () and read_run(Path("small")).steps[-1].checks


def test_tensorboard_gets_the_same_run(here: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    source = ["netsmith.zoo:digits_resnet", "--input", "2,1,8,8"]
    run("shrink", *source, "--budget", "macs=50%", "--out", "small")
    assert run("report", "small", "--tensorboard", "board").stderr == ""
    found = EventAccumulator("board").Reload()
    assert "steps/macs" in found.Tags()["scalars"]
    assert [node.op for node in found.Graph().node].count("conv2d") > 10
    assert "its model cannot be built: b has no source.json" in run("report", "a", "b", "--tensorboard", "both").stderr
    assert sorted(each.name for each in Path("both").iterdir()) == ["a", "b"]
