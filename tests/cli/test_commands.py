"""The commands as a user types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from netsmith.cli import app

MODEL_FILE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 16, 3, padding=1)
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        x = self.conv2(self.bn1(self.conv1(x)).relu()).relu()
        return self.fc(x.mean((2, 3)))


def model():
    return Net(), (2, 1, 8, 8)


def wrong_input():
    return Net(), (2, 3, 8, 8)


def nan():
    net = Net()
    net.conv1.weight.data[0] = float("nan")
    return net, (2, 1, 8, 8)


def batches():
    g = torch.Generator().manual_seed(0)
    return [(torch.randn(16, 1, 8, 8, generator=g), torch.randint(0, 10, (16,), generator=g)) for _ in range(3)]


def no_batches():
    return []


def first_units(axis, weights):
    return -torch.arange(axis.size).float()


def quiet_units(axis, weights, *, activations):
    from netsmith.scores import activation_variance

    return -activation_variance(axis, weights, activations=activations)


def asking_too_much(axis, weights, *, oracle):
    return torch.zeros(axis.size)


def wrong_score(axis, weights):
    return torch.zeros(3)


def raising_score(axis, weights):
    return 1 / 0


def breaking_off():
    yield torch.randn(4, 1, 8, 8)
    raise OSError("the disk is gone")


def unlabelled():
    return [torch.randn(4, 1, 8, 8)]


def nan_statistics():
    net = Net()
    net.bn1.running_var[0] = float("nan")
    return net, (2, 1, 8, 8)


class Talking(Net):
    def forward(self, x):
        print("in forward")
        return super().forward(x)


def talking():
    print("in the function")
    return Talking(), (2, 1, 8, 8)


class Leaving(Net):
    def forward(self, x):
        raise SystemExit(5)


def leaving():
    return Leaving(), (2, 1, 8, 8)


def left():
    raise SystemExit(0)
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)  # xdist's workers have one, and tables would be wrapped to it
    Path("net.py").write_text(MODEL_FILE)
    return "net.py"


def run(*args: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, list(args))
    assert result.exit_code == code, f"exit code {result.exit_code}\n{result.output}\n{result.exception!r}"
    return result


def refused(*args: str) -> str:
    """The message of a command that has to end with exit code 2 and say so once."""
    result = run(*args, code=2)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert result.stderr.count("error: ") == 1
    return result.stderr


def test_measure(file: str) -> None:
    shown = run("measure", f"{file}:model").stdout
    assert "parameters" in shown
    assert "latency" in shown
    cost = json.loads(run("measure", f"{file}:model", "--no-latency", "--json").stdout)
    # conv1 16·(9+1), bn1 16·2, conv2 16·(16·9+1), fc 10·(16+1)
    assert cost["params"] == 160 + 32 + 2320 + 170
    # two images of 64 pixels: conv1 16·9, conv2 16·16·9; fc 16·10
    assert cost["macs"] == 2 * (64 * (16 * 9 + 16 * 16 * 9) + 160)
    assert cost["latency_ms"] is None


def test_inspect(file: str) -> None:
    shown = run("inspect", f"{file}:model").stdout
    assert "conv1.weight:0" in shown
    assert "a dimension of the model's output" in shown
    data = json.loads(run("inspect", f"{file}:model", "--json").stdout)
    axes = {axis["name"]: axis for axis in data["axes"]}
    assert axes["conv1.weight:0"]["size"] == 16
    assert axes["conv1.weight:0"]["frozen"] is None
    assert {"tensor": "conv2.weight", "dim": 1, "role": "consumer"} in axes["conv1.weight:0"]["members"]
    assert axes["fc.weight:0"]["frozen"]
    assert data["cost"]["params"] == 2682


def test_inspect_lists_members_and_frozen_axes(file: str) -> None:
    shown = run("inspect", f"{file}:model", "--members", "--all").stdout
    assert "conv2.weight dim 1 consumer" in shown
    assert "no: a dimension of the model's output" in shown


def test_shrink_and_verify(file: str) -> None:
    result = run(
        *["shrink", f"{file}:model", "--budget", "macs=50%", "--data", f"{file}:batches", "--out", "small", "--json"]
    )
    data = json.loads(result.stdout)
    assert data["verdict"]["ok"]
    assert data["steps"][0]["name"] == "original"
    assert data["steps"][-1]["macs"] <= 0.5 * data["steps"][0]["macs"]
    assert data["seconds"] > 0 and "peak_bytes" in data
    assert "Planning and repair took" in Path("small/run.json").read_text()
    assert {f.name for f in Path("small").iterdir()} == {
        "model.safetensors",
        "plan.json",
        "card.md",
        "source.json",
        "run.json",
    }

    # net.py is code of its own: it runs only if the user names it.
    assert f"netsmith verify small --model {file}:model" in refused("verify", "small")
    shown = run("verify", "small", "--model", f"{file}:model").stdout
    assert "verdict: ok" in shown
    assert json.loads(run("verify", "small", "--model", f"{file}:model", "--json").stdout)["ok"]


def test_json_is_all_there_is_on_stdout(file: str) -> None:
    small = ["shrink", f"{file}:talking", "--budget", "params=60%", "--data", f"{file}:batches", "--out", "small"]
    for args in (
        ["measure", f"{file}:talking"],
        ["inspect", f"{file}:talking"],
        small,
        ["verify", "small", "--model", f"{file}:talking"],
    ):
        result = run(*args, "--json")
        json.loads(result.stdout)
        assert "in the function\n" in result.stderr and "in forward\n" in result.stderr
    assert run("measure", f"{file}:talking").stdout.startswith("in the function\n")


def test_shrink_prints_a_table(file: str) -> None:
    shown = run("shrink", f"{file}:model", "--budget", "params=60%", "--out", "small").stdout
    assert "original" in shown
    assert "verdict: ok" in shown
    assert "netsmith verify small" in shown
    shown = run("shrink", f"{file}:model", "--budget", "params=1000000", "--out", "same").stdout
    assert "left as it is: the model costs no more than the budget allows already (params " in shown


def test_shrink_with_eval_and_heal(file: str) -> None:
    source = ["shrink", f"{file}:model", "--budget", "macs=50%", "--data", f"{file}:batches"]
    result = run(*source, "--eval", f"{file}:batches", "--heal", "1", "--out", "small", "--json")
    steps = json.loads(result.stdout)["steps"]
    assert [step["name"] for step in steps][-1] == "heal"
    assert all(0 <= step["accuracy"] <= 1 and 0 <= step["f1"] <= 1 for step in steps)


def test_score_and_ignore(file: str) -> None:
    run("shrink", f"{file}:model", "--budget", "params=60%", "--score", f"{file}:first_units", "--out", "a")
    keeps = [edit["keep"] for edit in json.loads(Path("a/plan.json").read_text())["edits"]]
    assert keeps
    assert all(keep == list(range(len(keep))) for keep in keeps)
    run("shrink", f"{file}:model", "--budget", "params=80%", "--ignore", "bn1", "--score", "magnitude", "--out", "b")
    axes = [edit["axis"] for edit in json.loads(Path("b/plan.json").read_text())["edits"]]
    assert axes == ["conv2.weight:0"]


@pytest.mark.parametrize("score", ["taylor", "wanda", "norm_scale", "random", "net.py:quiet_units"])
def test_a_score_that_is_computed_from_data(file: str, score: str) -> None:
    args = ["--budget", "params=60%", "--data", f"{file}:batches", "--score", score, "--out", "a", "--json"]
    result = run("shrink", f"{file}:model", *args)
    assert json.loads(result.stdout)["verdict"]["ok"]
    assert ("scoring" in result.stderr) is (score not in ("norm_scale", "random"))


def test_verify_without_naming_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = ["netsmith.zoo:digits_resnet", "--input", "1,1,8,8", "--seed", "3"]
    run("shrink", *model, "--budget", "params=50%", "--out", "small")
    run("verify", "small")
    source = json.loads(Path("small/source.json").read_text())
    Path("small/source.json").write_text(json.dumps(source | {"seed": 4}))
    assert "other weights than the one that small was made from" in refused("verify", "small")


def test_a_transformers_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    config = transformers.LlamaConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=40, architectures=["LlamaForCausalLM"],
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained("llama")
    result = run("shrink", "hf:llama", "--budget", "params=60%", "--out", "small", "--json")
    steps = json.loads(result.stdout)["steps"]
    assert steps[-1]["params"] <= 0.6 * steps[0]["params"]
    assert json.loads(run("verify", "small", "--json").stdout)["ok"]


def test_a_broken_promise_is_exit_code_1(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from netsmith import recipes
    from netsmith.checks import Check, Verdict

    def shrink(*args: Any, **options: Any) -> Any:
        broken = Verdict((Check("outputs", "failed", "they differ"),))
        return replace(real(*args, **options), verdict=broken)

    real = recipes.shrink
    monkeypatch.setattr(recipes, "shrink", shrink)
    shown = run("shrink", f"{file}:model", "--budget", "params=60%", "--out", "small", code=1).stdout
    assert "verdict: FAILED" in shown
    assert "they differ" in shown


def test_verify_fails_with_exit_code_1(file: str) -> None:
    from safetensors.torch import load_file

    import netsmith
    from netsmith.files import load_plan

    run("shrink", f"{file}:model", "--budget", "params=60%", "--out", "small")
    namespace: dict[str, Any] = {}
    exec(MODEL_FILE, namespace)  # noqa: S102  the file above
    broken = netsmith.load("small", namespace["Net"])
    assert load_file("small/model.safetensors")
    with torch.no_grad():
        broken.conv2.weight += 1
    plan = load_plan("small")
    netsmith.save(broken, "broken", plan=plan)
    Path("broken/source.json").write_text(Path("small/source.json").read_text())
    result = run("verify", "broken", "--model", f"{file}:model", code=1)
    assert "verdict: FAILED" in result.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["measure", "net.py:wrong_input"], "expected input"),
        (["inspect", "net.py:model", "--input", "1,3,8,8"], "expected input"),
        (["inspect", "net.py:nothing"], "net.py has no function 'nothing'"),
        (["inspect", "none.py:model"], "there is no file 'none.py'"),
        (["measure", "net.py:model", "--weights", "w.pt"], "there is no weights file 'w.pt'"),
        (["measure", "net.py:model", "--input", "1;2"], "is no shape"),
        (["shrink", "net.py:model", "--budget", "50%", "--out", "o"], "write NAME=VALUE"),
        (["shrink", "net.py:model", "--budget", "macs=0.0001%", "--out", "o"], "the budget cannot be met"),
        (["shrink", "net.py:model", "--budget", "macs=200%", "--out", "o"], "macs=200% is more than the model costs"),
        (["shrink", "net.py:nan", "--budget", "macs=50%", "--out", "o"], "NaN"),
        (["shrink", "net.py:model", "--budget", "macs=50%", "--data", "digitz", "--out", "o"], "unknown data 'digitz'"),
        (["shrink", "net.py:model", "--budget", "macs=50%", "--data", "net.py:no_batches", "--out", "o"], "empty"),
        (
            ["shrink", "net.py:model", "--budget", "macs=50%", "--score", "size", "--out", "o"],
            "there is no score 'size'",
        ),
        (["shrink", "net.py:model", "--budget", "macs=50%", "--score", "net.py:wrong_score", "--out", "o"], "score"),
        (
            ["shrink", "net.py:model", "--budget", "macs=50%", "--score", "taylor", "--out", "o"],
            "--score taylor is computed from data (gradients); give --data",
        ),
        (
            ["shrink", "net.py:model", "--budget", "macs=50%", "--mirror", "--out", "o"],
            "--mirror mirrors the images of --data; give --data",
        ),
        (
            ["shrink", "net.py:model", "--budget", "macs=50%", "--score", "net.py:quiet_units", "--out", "o"],
            "--score net.py:quiet_units is computed from data (activations); give --data",
        ),
        (
            ["shrink", "net.py:model", "--budget", "macs=50%", "--score", "net.py:asking_too_much", "--out", "o"],
            "score asking_too_much wants oracle, which nothing here gathers",
        ),
        (["shrink", "net.py:model", "--budget", "macs=50%", "--ignore", "nope*", "--out", "o"], "'nope*' matches no"),
        (["shrink", "net.py:model", "--budget", "macs=50%", "--out", "net.py"], "nothing is overwritten"),
        (["shrink", "net.py:model", "--budget", "macs=50%", "--out", "."], "nothing is overwritten"),
        (["shrink", "net.py:model", "--budget", "macs=50%", "--out", "net.py/o"], "--out net.py/o: cannot be written"),
        (["shrink", "net.py:nan_statistics", "--budget", "macs=50%", "--out", "o"], "buffers hold NaN: bn1.running"),
        (
            ["shrink", "net.py:model", "--budget", "macs=50%", "--score", "net.py:raising_score", "--out", "o"],
            "net.py:raising_score raised ZeroDivisionError",
        ),
        (
            ["shrink", "net.py:model", "--budget", "macs=50%", "--data", "net.py:breaking_off", "--out", "o"],
            "net.py:breaking_off() raised OSError while it was read: the disk is gone (line",
        ),
        (["measure", "net.py:leaving"], "called sys.exit(5)"),
        (["measure", "net.py:left"], "net.py:left raised SystemExit: 0"),
        (["verify", "nowhere"], "there is no folder 'nowhere'"),
        (["verify", "."], "has no source.json"),
    ],
)
def test_bad_input(file: str, args: list[str], message: str) -> None:
    assert message in refused(*args)
    assert not Path("o").exists()


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(file: str) -> None:
    assert "reading the model" not in refused("shrink", f"{file}:model", "--budget", "macs=50%", "--out", "net.py/o")
    assert [path.name for path in Path().iterdir() if path.name.startswith(".")] == []


def test_data_without_labels_is_refused_before_the_work(file: str) -> None:
    said = refused(*["shrink", f"{file}:model", "--budget", "macs=50%", "--eval", f"{file}:unlabelled", "--out", "o"])
    assert "needs (x, y) batches" in said and "reading the model" not in said


def test_bad_options_of_the_command_line_itself(file: str) -> None:
    for args in (
        ["shrink", f"{file}:model"],
        ["measure", "--nonsense", "x"],
        ["nonsense"],
        ["shrink", "a", "--seed", "-1"],
    ):
        result = run(*args, code=2)
        assert result.stdout == ""
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "is no source.json of version 1"),
        ('{"version": 2}', "is no source.json of version 1"),
        ('{"version": 1, "model": 3, "seed": 0, "original_sha256": ""}', "model missing or of the wrong type"),
        (
            '{"version": 1, "model": "os:getcwd", "weights": null, "input": null, "seed": 0, "original_sha256": ""}',
            "that code has to run",
        ),
        (
            '{"version": 1, "model": "netsmith.zoo:cifar.F", "weights": null, "input": null, "seed": 0, '
            '"original_sha256": ""}',
            "that code has to run",
        ),
    ],
)
def test_a_source_file_that_is_not_ours(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "source.json").write_text(content)
    assert message in refused("verify", str(tmp_path))


def test_debug_shows_the_traceback(file: str) -> None:
    for args in (["--debug", "inspect", "none.py:f"], ["inspect", "none.py:f", "--debug"]):
        result = CliRunner().invoke(app, args)
        assert type(result.exception).__name__ == "UnknownNameError"


def start(*args: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "netsmith", *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_a_real_process_says_one_message(file: str) -> None:
    process = start("inspect", f"{file}:nothing")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (2, "")
    assert err.startswith("error: net.py has no function 'nothing'")
    assert len(err.splitlines()) == 1


def test_an_unforeseen_error_is_one_message_too() -> None:
    code = "import sys; from netsmith.cli import app; a = sys.modules['netsmith.cli.app']; "
    code += "a.app = lambda: 1 / 0; a.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stderr.startswith("error: ZeroDivisionError: division by zero\n")
    assert "--debug" in done.stderr


def test_a_closed_pipe_is_no_error(file: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "netsmith", "inspect", f"{file}:model", "--json"]
    with os.fdopen(writer, "w") as pipe:
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True)
    assert done.stderr == ""
    assert done.returncode == 141


def test_ctrl_c(file: str) -> None:
    Path("slow.py").write_text("import time\nprint('here', flush=True)\ntime.sleep(60)\n")
    process = start("inspect", "slow.py:f", env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "error: interrupted\n"


def test_version() -> None:
    import netsmith

    assert run("--version").stdout == f"netsmith {netsmith.__version__}\n"


def test_ctrl_c_during_the_imports() -> None:
    code = """
import sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
from netsmith.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 130 and done.stderr == "error: interrupted\n"


def test_the_influence_of_every_part(file: str, tmp_path: Path) -> None:
    shown = run("inspect", f"{file}:model", "--influence", "--data", f"{file}:batches", "--html", "page.html").stdout
    assert "Written to page.html" in shown and "█" in shown
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and "Influence of every axis" in page
    told = json.loads(run("inspect", f"{file}:model", "--influence", "--data", f"{file}:batches", "--json").stdout)
    axes = told["influence"]["axes"]
    assert axes and set(axes) <= {axis["name"] for axis in told["axes"] if axis["frozen"] is None}
    assert all(value >= 0 for value in axes.values())
    assert "--influence is measured on data; give --data" in refused("inspect", f"{file}:model", "--influence")
    assert "--data and --html go with --influence" in refused("inspect", f"{file}:model", "--html", "page.html")
