"""``netsmith run``, ``netsmith plan`` and ``netsmith init`` as a user types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from netsmith.cli import app
from recipe_networks import NETWORK

RECIPE = """
model: net.py:model
data: net.py:batches
eval: net.py:held_out
steps:
  - cut: {blocks: 1}
  - finetune: {epochs: 5, lr: 0.05, checkpoint_every: 1, data: "net.py:dangerous"}
  - prune: {budget: {macs: 70%}}
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NETWORK)
    Path("recipe.yaml").write_text(RECIPE)
    return tmp_path


def invoke(*args: str, code: int = 0):
    done = CliRunner().invoke(app, list(args))
    assert done.exit_code == code, done.output
    return done


def everything(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_killed_in_the_middle_of_a_step_and_gone_on_with() -> None:
    told = json.loads(invoke("run", "recipe.yaml", "--out", "alone", "--json").stdout)
    assert told["ok"] and [step["name"] for step in told["steps"]] == ["load", "cut", "finetune", "prune"]
    Path("pass").write_text("kill 4")
    command = [sys.executable, "-m", "netsmith", "run", "recipe.yaml", "--out", "out"]
    killed = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert Path("out/steps/01-cut/step.json").is_file() and not Path("out/steps/02-finetune").exists()
    (checkpoint,) = Path("out/steps/.training").glob("*/checkpoint.safetensors")
    before = checkpoint.stat().st_mtime_ns
    assert before and [step["name"] for step in json.loads(Path("out/run.json").read_text())["steps"]] == [
        "load",
        "cut",
    ]
    done = invoke("run", "recipe.yaml", "--out", "out", "--resume")
    assert done.stdout.count("kept") == 2  # load, cut
    for step in ("01-cut", "02-finetune", "03-prune"):
        file = f"steps/{step}/model.safetensors"
        assert (Path("out") / file).read_bytes() == (Path("alone") / file).read_bytes()
    invoke("verify", "out/steps/03-prune", "--model", "net.py:model")


def test_ctrl_c_says_how_to_go_on() -> None:
    Path("pass").write_text("stop 4")
    done = invoke("run", "recipe.yaml", code=130)
    assert "netsmith run recipe.yaml --out out/recipe --resume" in done.stderr
    assert "there is something" not in done.stderr and Path("out/recipe/steps/01-cut").is_dir()


def test_faults_have_their_line_and_nothing_is_written() -> None:
    Path("recipe.yaml").write_text(RECIPE.replace("blocks: 1", "bocks: 1"))
    for command in ("run", "plan"):
        done = invoke(command, "recipe.yaml", code=2)
        assert "error: recipe.yaml, line 6: 'bocks' is no option of cut; did you mean 'blocks'?" in done.stderr
        assert "--resume" not in done.stderr
    assert not Path("out").exists()


def test_a_plan_touches_nothing(place: Path) -> None:
    Path("pass").write_text("stop 1")  # data that is read would end this
    Path("net.py").write_text(NETWORK.replace("def dangerous():", "def dangerous():\n    Path('read').touch()"))
    before = everything(place)
    told = json.loads(invoke("plan", "recipe.yaml", "--out", "out", "--json").stdout)["steps"]
    assert everything(place) == {**before, **{n: b for n, b in everything(place).items() if "__pycache__" in n}}
    cut, finetune, prune = told
    assert [step["sure"] for step in told] == ["about", "same", "about"]
    assert cut["after"]["params"] < cut["before"]["params"] and finetune["after"] == cut["after"]
    assert prune["after"]["macs"] <= 0.7 * finetune["after"]["macs"]
    assert not any(step["kept"] for step in told)


def test_a_plan_knows_what_is_done_and_is_near_what_comes() -> None:
    invoke("run", "recipe.yaml", "--out", "out")
    ran = json.loads(Path("out/run.json").read_text())["steps"]
    told = json.loads(invoke("plan", "recipe.yaml", "--out", "out", "--json").stdout)["steps"]
    assert all(step["kept"] for step in told)
    assert told[0]["after"]["params"] == pytest.approx(ran[1]["cost"]["params"], rel=0.15)
    assert told[2]["after"]["macs"] == pytest.approx(ran[3]["cost"]["macs"], rel=0.15)
    text = invoke("plan", "recipe.yaml", "--out", "out").stdout
    assert text.count("already") == 3 and "about: which units" in text


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("cut: {blocks: 9}", "line 6: cut cannot be done: blocks=9, but only 4 blocks can be cut"),
        ("prune: {budget: {macs: 0.0001}}", "line 6: prune cannot be done:"),
    ],
)
def test_a_plan_says_what_cannot_be_done(step: str, message: str) -> None:
    Path("recipe.yaml").write_text(RECIPE.replace("cut: {blocks: 1}", step))
    assert message in invoke("plan", "recipe.yaml", code=2).stderr


def test_init_writes_a_recipe_to_plan_and_run() -> None:
    done = invoke("init", "net.py:model", "--data", "net.py:batches", "--eval", "net.py:held_out", "--out", "mine.yaml")
    assert "Written to mine.yaml: the recipe cnn_classifier" in done.stdout and "put your data" not in done.stderr
    assert "model: net.py:model\ndata: net.py:batches" in Path("mine.yaml").read_text()
    invoke("plan", "mine.yaml")
    assert "nothing is overwritten" in invoke("init", "net.py:model", "--out", "mine.yaml", code=2).stderr
    done = invoke("init", "net.py:model", "--out", "open.yaml", "--kind", "speech", "--json")
    told = json.loads(done.stdout)
    lines = Path("open.yaml").read_text().splitlines()
    assert told["kind"] == "speech" and [lines[n - 1].split(":")[0] for n in told["open_lines"]] == ["data", "eval"]
    said = invoke("init", "net.py:model", "--out", "x.yaml", "--kind", "music", code=2).stderr
    assert "no shipped recipe 'music'; there are cnn_classifier, vit" in said


def test_random_weights_are_told() -> None:
    Path("zoo.yaml").write_text("model: netsmith.zoo:digits_resnet\ninput: 1,1,8,8\nsteps: [inspect]\n")
    assert "netsmith.zoo:digits_resnet has random weights; give trained ones" in invoke("run", "zoo.yaml").stderr
    assert "its weights are random" in json.loads(Path("out/zoo/run.json").read_text())["steps"][0]["said"][0]
