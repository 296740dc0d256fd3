"""Several processes train as one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from netsmith.errors import InputError
from netsmith.training import Training, train
from netsmith.training.processes import accelerated, share

SCRIPT = """
import json, os, sys
import torch
from torch import nn
from netsmith.data import Examples, batches
from netsmith.training import distil, finetune

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
teacher = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))
x = torch.randn(37, 4)  # the last batch has 1 example: one process gets none
data = batches(Examples(x, x.argmax(1) % 3), 12, shuffle=True)
curve = []
options = dict(epochs=2, lr=0.1, progress=lambda i, n, m: curve.append(m["loss"]))
score = lambda m: float((m(x).argmax(1) == x.argmax(1) % 3).float().mean())
first = finetune(model, data, validate=score, checkpoint=sys.argv[1] + ".run", **options)
second = distil(model, teacher, data, features={"1": "1"}, accumulate=3, **options)
if os.environ.get("RANK", "0") == "0":
    weights = [float(p.double().sum()) for m in (first, second) for p in m.parameters()]
    with open(sys.argv[1], "w") as file:
        json.dump({"curve": curve, "weights": weights}, file)
"""


def test_two_processes_have_the_curve_of_one(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    alone, both = tmp_path / "one.json", tmp_path / "two.json"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for out, launcher in ((alone, []), (both, ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"])):
        command = [sys.executable, *launcher, "script.py", str(out)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    one, two = json.loads(alone.read_text()), json.loads(both.read_text())
    assert len(one["curve"]) == 2 * 4 + 1 + 2 * 2  # and a validation between two passes
    assert two["curve"] == pytest.approx(one["curve"], rel=1e-4)
    assert two["weights"] == pytest.approx(one["weights"], rel=1e-3, abs=1e-4)


SHARDS = """
import json, os, sys
import torch
from torch import nn
from netsmith.data import Examples, batches
from netsmith.errors import InputError
from netsmith.training import distil, finetune, keep_zeros


class Deep(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first = nn.Linear(4, width)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Tanh(), nn.Linear(width, width)) for _ in range(2))
        self.last = nn.Linear(width, 3)

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.last(x)


torch.manual_seed(0)
model, teacher = Deep(5), Deep(16)
x = torch.randn(37, 4)
y = x.argmax(1) % 3
data = batches(Examples(x, y), 12, shuffle=True)
curve = []
score = lambda m: float((m(x).argmax(1) == y).float().mean())
options = dict(epochs=3, lr=0.1, validate=score, checkpoint=sys.argv[1] + ".run", checkpoint_every=3)


def interrupted(i, n, m):
    if i == 7 and "score" not in m:
        raise KeyboardInterrupt


try:
    finetune(model, data, progress=interrupted, **options)
except KeyboardInterrupt:
    pass
first = finetune(model, data, progress=lambda i, n, m: curve.append(m["loss"]), resume=True, **options)
second = distil(model, teacher, data, accumulate=3, optimizer="adamw", epochs=2, lr=0.01)
if os.environ.get("ACCELERATE_USE_FSDP"):
    try:
        finetune(model, data, epochs=1, after_step=[keep_zeros(model)])
    except InputError as error:
        assert "under FSDP there are no penalties" in str(error)
assert type(second) is Deep and type(second.last.weight) is nn.Parameter
if os.environ.get("RANK", "0") == "0":
    weights = [float(p.double().sum()) for m in (first, second) for p in m.parameters()]
    with open(sys.argv[1], "w") as file:
        json.dump({"curve": curve, "weights": weights}, file)
"""


def test_two_processes_that_share_the_weights_have_the_curve_of_one(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SHARDS)
    alone, both = tmp_path / "one.json", tmp_path / "two.json"
    two = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    for out, launcher, more in ((alone, [], {}), (both, two, {"ACCELERATE_USE_FSDP": "true"})):
        command = [sys.executable, *launcher, "script.py", str(out)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **more}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    one, shared = json.loads(alone.read_text()), json.loads(both.read_text())
    assert len(one["curve"]) > 6
    assert shared["curve"] == pytest.approx(one["curve"], rel=1e-4)
    assert shared["weights"] == pytest.approx(one["weights"], rel=1e-3, abs=1e-4)


def test_examples_are_shared_without_loss() -> None:
    x, y = {"ids": torch.arange(5), "scale": torch.tensor(2.0)}, torch.arange(5)
    parts = [share(x, y, rank, 2) for rank in range(2)]
    assert [p[0]["ids"].tolist() for p in parts] == [[0, 1], [2, 3, 4]]
    assert [p[2] for p in parts] == [2, 3]
    assert all(p[0]["scale"] == 2 for p in parts)
    few = [share(torch.arange(1), None, rank, 2)[2] for rank in range(2)]
    assert sum(few) == 1
    with pytest.raises(InputError, match="shared among processes, but a batch has no tensor of examples"):
        share({"n": 3}, None, 0, 2)


def test_an_accelerator_of_the_caller_is_left_as_it_was() -> None:
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    theirs = Accelerator(cpu=True, mixed_precision="bf16")
    try:
        with accelerated(torch.device("cpu"), "no") as ours:
            assert ours.mixed_precision == "no"
        assert theirs.mixed_precision == "bf16"
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)


def test_nothing_of_accelerate_stays_in_the_model() -> None:
    model = torch.nn.Linear(2, 1)
    data = [(torch.eye(2), torch.zeros(2, 1))]
    trained = train(model, data, lambda m, x, y: (m(x) - y).square().mean(), Training(steps=2, precision="bf16"))
    assert set(vars(trained)) == set(vars(model))
    assert trained(torch.eye(2)).dtype == torch.float32


def test_half_precision_needs_a_gpu() -> None:
    with pytest.raises(InputError, match="precision='fp16' needs a GPU; on a CPU take 'bf16'"):
        train(torch.nn.Linear(2, 1), [torch.eye(2)], lambda m, x, y: m(x).sum(), Training(steps=1, precision="fp16"))
