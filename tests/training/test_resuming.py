"""A run that dies and goes on ends like one that did not."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import cross_entropy

from netsmith.data import Examples, batches, call
from netsmith.errors import FileError, InputError
from netsmith.training import Training, train
from netsmith.training.checkpoint import FILE

POSIX = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 3))


def loader():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(40, 4, generator=generator)
    return batches(Examples(x, x.argmax(1) % 3), 8, shuffle=True)


def error(model, x, y):
    return cross_entropy(call(model, x), y)


def score(model: nn.Module) -> float:
    x, y = loader().dataset.images, loader().dataset.labels
    return float((model(x).argmax(1) == y).float().mean())


def run(folder: Path | None = None, *, resume: bool = False, progress=None, **options) -> nn.Module:
    options = {"epochs": 5, "lr": 0.1, "checkpoint_every": 3, **options}
    training = Training(checkpoint=folder, resume=resume, **options)
    return train(network(), loader(), error, training, validate=score, progress=progress)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def stop_at(step: int):
    def stop(done, total, metrics):
        if done == step:
            raise KeyboardInterrupt

    return stop


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimizer": "adamw", "lr": 0.01, "accumulate": 2},
        {"steps": 23, "epochs": None, "validate_every": 4, "momentum": 0.0},
        {"precision": "bf16", "validate_every": 2, "patience": 6},
    ],
    ids=["sgd", "adamw, accumulated", "steps", "bf16, early stopping"],
)
def test_interrupted_anywhere_it_ends_with_the_same_bits(tmp_path: Path, options: dict) -> None:
    whole = run(**options)
    for step in (1, 4, 5, 9, 12):
        folder = tmp_path / str(step)
        with pytest.raises(KeyboardInterrupt):
            run(folder, progress=stop_at(step), **options)
        seen: list[int] = []
        resumed = run(folder, resume=True, progress=lambda done, *_, seen=seen: seen.append(done), **options)
        assert same(resumed, whole)
        assert seen[0] in (step // 3 * 3 + 1, step // 3 * 3)  # a validation between two passes is told again
        assert step - seen[0] < 3


def test_a_finished_run_gives_its_result_at_once(tmp_path: Path) -> None:
    first = run(tmp_path)
    told: list[int] = []
    again = run(tmp_path, resume=True, progress=lambda done, *_: told.append(done))
    assert same(first, again)
    assert told == []


def test_the_best_weights_come_back(tmp_path: Path) -> None:
    scores: list[float] = []

    def falling(model: nn.Module) -> float:
        scores.append(-len(scores))
        return scores[-1]

    kept: list[torch.Tensor] = []

    def watch(done, total, metrics):
        if "score" in metrics and not kept:
            kept.append(metrics["score"])

    training = Training(epochs=4, lr=0.1, patience=2)
    best = train(network(), loader(), error, training, validate=falling, progress=watch)
    one = train(network(), loader(), error, Training(epochs=4, lr=0.1), after_step=[])
    assert scores == [0, -1, -2]  # out of patience after two
    assert kept == [0]
    assert not same(best, one)


def test_a_validation_that_gives_no_number() -> None:
    for bad, message in ((lambda m: "good", "validate returned 'good'"), (lambda m: float("nan"), "returned NaN")):
        with pytest.raises(InputError, match=message):
            train(network(), loader(), error, Training(epochs=1), validate=bad)


def _killed(folder: str, at: int, mid_write: bool) -> None:
    """In a process of its own: die at a step, or while a checkpoint is written."""
    torch.set_num_threads(1)

    def die(*_) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if mid_write:
        os.fsync = die
        run(Path(folder), resume=True)
    else:
        run(Path(folder), resume=True, progress=lambda done, *_: die() if done >= at else None)


@POSIX
def test_killed_again_and_again_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")  # autograd does not survive a fork
    chance = random.Random(0)
    reached = 0
    for i in range(4):
        reached = min(reached // 3 * 3 + chance.randint(1, 5), 24)
        child = context.Process(target=_killed, args=(str(tmp_path), reached, i == 2))
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL
    assert same(run(tmp_path, resume=True), run())


def test_a_checkpoint_is_not_overwritten_unasked(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(FileError, match="holds a checkpoint already; go on by --resume"):
        run(tmp_path)


def test_another_run_is_not_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, progress=stop_at(7))
    with pytest.raises(InputError, match=r"of another run \(lr=0.1 then, 0.2 now\)"):
        run(tmp_path, resume=True, lr=0.2)
    other = nn.Linear(4, 3)
    with pytest.raises(FileError, match=r"of another model:\n  model/weight: nothing in the checkpoint"):
        train(
            other,
            loader(),
            error,
            Training(epochs=5, lr=0.1, checkpoint=tmp_path, resume=True),
        )


def test_damaged_and_hostile_checkpoints_are_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, progress=stop_at(7))
    file = tmp_path / FILE
    good = file.read_bytes()
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    header = {"netsmith.training": '{"version": 1, "position": {"step": -5}}'}

    def refused(message: str) -> None:
        with pytest.raises((FileError, InputError), match=message):
            run(tmp_path, resume=True)

    for content in (b"", good[: len(good) // 2], b"\x80\x04pickle", bytes(1000)):
        file.write_bytes(content)
        refused("is no whole checkpoint of netsmith")
    save_file(tensors, file)
    refused("is no whole checkpoint of netsmith")
    save_file(tensors, file, metadata=header)
    refused("is no whole checkpoint of netsmith.*the position has entries")

    def changed(**more: torch.Tensor | None) -> None:
        from safetensors import safe_open

        file.write_bytes(good)
        with safe_open(file, "pt") as opened:
            metadata = opened.metadata()
        other = {**tensors, **{k.replace("__", "/"): v for k, v in more.items()}}
        save_file({k: v for k, v in other.items() if v is not None}, file, metadata=metadata)

    changed(optimizer__99__momentum_buffer=torch.zeros(3))
    refused("optimizer/99/momentum_buffer fits no parameter")
    changed(optimizer__0__evil=torch.zeros(8, 4))
    refused("optimizer/0/evil fits no parameter")
    changed(random__cpu=torch.zeros(1, 3, dtype=torch.uint8))
    refused("holds no random state that fits")
    changed(random__cpu=None)
    refused("holds no random state that fits")


def test_a_state_that_no_file_holds_is_said_before_the_work(tmp_path: Path) -> None:
    class Stateful(nn.Linear):
        def get_extra_state(self):
            return {"anything": 1}

        def set_extra_state(self, state):
            pass

    steps: list[int] = []
    with pytest.raises(InputError, match="keeps an extra state of its own, which a checkpoint cannot hold"):
        train(
            Stateful(4, 3),
            loader(),
            error,
            Training(epochs=1, checkpoint=tmp_path),
            progress=lambda done, *_: steps.append(done),
        )
    assert steps == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="the checkpoint cannot be written to"):
        run(tmp_path / "file" / "below")
