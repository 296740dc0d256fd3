"""Foreign engines timed in processes of their own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from netsmith.costs import fresh_processes, stopwatch
from netsmith.costs.fresh_processes import FOREIGN, in_fresh_processes
from netsmith.errors import InputError
from netsmith.searches.steering import timed
from small_networks import network


def needs(engine: str) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime") if engine == "onnxruntime" else ("openvino",):
        pytest.importorskip(package)


@pytest.mark.parametrize("engine", FOREIGN)
def test_every_model_is_timed(engine: str) -> None:
    needs(engine)
    model, x = network("mlp")
    found = in_fresh_processes([model, model], x, engine, rounds=4, processes=2)
    assert len(found) == 2
    assert all(0 < each < 1e4 for each in found)


def test_times_are_shares_of_the_firsts_at_the_same_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that becomes half as fast in between makes no model slower than the other."""
    needs("onnxruntime")
    clock = iter([2.0, 1.0, 4.0, 2.0, 4.0, 2.4])
    commands: list[list[str]] = []

    def told(command: list[str], engine: str) -> float:
        commands.append(command)
        return next(clock)

    monkeypatch.setattr(fresh_processes, "_timing", told)
    model, x = network("mlp")
    assert in_fresh_processes([model, model], x, "onnxruntime", rounds=7, processes=3) == [4.0, 2.0]
    assert {tuple(c[:3]) for c in commands} == {(sys.executable, stopwatch.__file__, "onnxruntime")}
    assert [int(c[4]) for c in commands] == [3] * 6
    assert len({c[5] for c in commands[:2]}) == 2 and commands[0] == commands[2]


def test_searches_time_foreign_engines_so(monkeypatch: pytest.MonkeyPatch) -> None:
    needs("onnxruntime")
    engines = []

    def told(models: Any, example_inputs: Any, engine: str, rounds: int) -> list[float]:
        engines.append(engine)
        return [1.0] * len(models)

    monkeypatch.setattr("netsmith.searches.steering.in_fresh_processes", told)
    model, x = network("mlp")
    assert timed([model], x, "onnxruntime") == [1.0]
    assert timed([model], x, "eager") != [1.0]
    assert engines == ["onnxruntime"]


def test_a_process_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("onnxruntime")
    wrong = tmp_path / "stopwatch.py"
    wrong.write_text("raise SystemExit('no such provider')\n")
    monkeypatch.setattr(stopwatch, "__file__", str(wrong))
    model, x = network("mlp")
    with pytest.raises(InputError, match="engine 'onnxruntime' cannot run the model: no such provider"):
        in_fresh_processes([model], x, "onnxruntime", rounds=1)


class Sorted(nn.Module):
    """What no exporter takes: the path depends on values."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if float(x.sum()) > 0 else -x


def test_a_model_that_cannot_be_exported_says_why() -> None:
    needs("onnxruntime")
    with pytest.raises(InputError, match="engine 'onnxruntime' cannot run the model: "):
        timed([Sorted()], torch.randn(2, 3), "onnxruntime")
