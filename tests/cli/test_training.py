"""``netsmith finetune`` and ``netsmith distil`` as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from netsmith.cli import app

FILE = """
import torch
from torch import nn


def model(width=8):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3)), (2, 4)


def narrow():
    return model(5)


def batches():
    g = torch.Generator().manual_seed(0)
    xs = torch.randn(96, 4, generator=g)
    return [(x, x[:, :3].argmax(1)) for x in xs.split(16)]


def unlabelled():
    return [x for x, _ in batches()]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, trained and shrunk."""
    place = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        Path("mlp.py").write_text(FILE)
        train = ["--data", "mlp.py:batches", "--epochs", "15", "--lr", "0.1"]
        run("finetune", "mlp.py:model", *train, "--out", "trained")
        options = ["--weights", "trained/model.safetensors", "--budget", "macs=60%", "--out", "small"]
        run("shrink", "mlp.py:model", *options)
    return place


@pytest.fixture
def small(place: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(place)
    return "small"


def run(*args: str, code: int = 0):
    done = CliRunner().invoke(app, list(args))
    assert done.exit_code == code, done.output
    return done


def test_heal_what_was_shrunk_and_go_on_after_an_interruption(small: str) -> None:
    common = ["--model", "mlp.py:model", "--eval", "mlp.py:batches", "--epochs", "10", "--lr", "0.1", "--json"]
    kept = ["--checkpoint", "run", "--checkpoint-every", "7"]
    done = run("finetune", small, "--data", "mlp.py:batches", *common, *kept, "--out", "tuned")
    told = json.loads(done.stdout)
    assert [step["name"] for step in told["steps"]] == ["original", "before", "finetune"]
    accuracy = [step["accuracy"] for step in told["steps"]]
    assert accuracy[2] > accuracy[1]
    assert told["verdict"]["ok"]
    done = run("distil", small, "--data", "mlp.py:unlabelled", *common, "--out", "healed")
    assert json.loads(done.stdout)["steps"][-1]["name"] == "distil"
    run("verify", "healed", "--model", "mlp.py:model")
    again = [*common, *kept, "--out", "again"]
    said = run("finetune", small, "--data", "mlp.py:batches", *again, code=2).stderr
    assert "holds a checkpoint already; go on by --resume" in said
    run("finetune", small, "--data", "mlp.py:batches", *again, "--resume")
    assert Path("again/model.safetensors").read_bytes() == Path("tuned/model.safetensors").read_bytes()


def test_another_teacher(small: str) -> None:
    options = ["--data", "mlp.py:unlabelled", "--steps", "30", "--lr", "0.1", "--out", "student", "--cache", "said.st"]
    teacher = ["--teacher", "mlp.py:model", "--teacher-weights", "trained/model.safetensors"]
    done = run("distil", "mlp.py:narrow", *options, *teacher, "--eval", "mlp.py:batches")
    assert "distil" in done.stdout
    run("verify", "student", "--model", "mlp.py:narrow")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["finetune", "small", "--data", "mlp.py:batches", "--out", "o"], "give epochs or steps"),
        (["finetune", "small", "--data", "mlp.py:batches", "--epochs", "1", "--out", "small"], "there is something"),
        (["finetune", "small", "--data", "mlp.py:unlabelled", "--epochs", "1", "--out", "o"], "needs labels"),
        (
            ["finetune", "small", "--data", "mlp.py:batches", "--epochs", "1", "--resume", "--out", "o"],
            "to resume, name the folder of the checkpoint",
        ),
        (["finetune", "nothing", "--data", "mlp.py:batches", "--epochs", "1", "--out", "o"], "is no address"),
        (["distil", "mlp.py:model", "--data", "mlp.py:batches", "--epochs", "1", "--out", "o"], "--teacher MODEL"),
        (
            ["distil", "small", "--data", "mlp.py:batches", "--epochs", "1", "--out", "o", "--alpha", "2"],
            "weight of the labels",
        ),
        (
            ["distil", "small", "--data", "mlp.py:batches", "--epochs", "1", "--out", "o", "--teacher-weights", "f"],
            "name it with --teacher",
        ),
    ],
)
def test_bad_input(small: str, args: list[str], message: str) -> None:
    more = ["--model", "mlp.py:model"] if args[1] == "small" else []
    done = run(*args, *more, code=2)
    assert message in done.stderr
    assert not Path("o").exists()


@pytest.mark.parametrize("command", ["finetune", "distil"])
def test_zeros_of_a_sparse_folder_stay_zero_while_it_is_trained(small: str, tmp_path: Path, command: str) -> None:
    sparse, out = str(tmp_path / "sparse"), str(tmp_path / "out")
    run("sparsify", "mlp.py:model", "--share", "0.5", "--keep-dead", "--out", sparse)
    run(command, sparse, "--model", "mlp.py:model", "--data", "mlp.py:batches", "--steps", "5", "--out", out)
    before, after = load_file(f"{sparse}/model.safetensors"), load_file(f"{out}/model.safetensors")
    assert (before["0.weight"] == 0).any() and not after["0.weight"].equal(before["0.weight"])
    assert (after["0.weight"][before["0.weight"] == 0] == 0).all()
    run("verify", out, "--model", "mlp.py:model")


@pytest.mark.parametrize("command", ["finetune", "distil"])
def test_integers_are_trained_and_stored_again(small: str, tmp_path: Path, command: str) -> None:
    pytest.importorskip("torchao")
    Path("wide.py").write_text(FILE.replace("width=8", "width=256"))
    integers, out = str(tmp_path / "integers"), str(tmp_path / "out")
    run("quantize", "wide.py:model", "--scheme", "int4", "--out", integers)
    train = ["--model", "wide.py:model", "--data", "wide.py:batches", "--steps", "8", "--lr", "1", "--out", out]
    run(command, integers, *train)
    before, after = load_file(f"{integers}/model.safetensors"), load_file(f"{out}/model.safetensors")
    assert {k: v.shape for k, v in before.items()} == {k: v.shape for k, v in after.items()}
    assert not before["0.weight:qdata:int4"].equal(after["0.weight:qdata:int4"])
    run("verify", out, "--model", "wide.py:model")
    changed = run("sparsify", out, "--model", "wide.py:model", "--share", "0.5", "--out", str(tmp_path / "no"), code=2)
    assert "stores weights as integers, whose structure is not read again" in changed.output


def test_zeros_stay_zero_under_integers(small: str, tmp_path: Path) -> None:
    pytest.importorskip("torchao")
    Path("wide.py").write_text(FILE.replace("width=8", "width=256"))
    sparse, integers, out = (str(tmp_path / name) for name in ("sparse", "integers", "out"))
    model = ["--model", "wide.py:model"]
    run("sparsify", "wide.py:model", "--share", "0.5", "--keep-dead", "--out", sparse)
    run("quantize", sparse, *model, "--scheme", "int8", "--out", integers)
    run("finetune", integers, *model, "--data", "wide.py:batches", "--steps", "8", "--lr", "0.3", "--out", out)
    zeros = load_file(f"{sparse}/model.safetensors")["0.weight"] == 0
    found = load_file(f"{out}/model.safetensors")["0.weight:qdata"]
    assert zeros.any() and (found[zeros] == 0).all() and (found[~zeros] != 0).any()
    run("verify", out, *model)
