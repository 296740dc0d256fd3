"""Engines side by side. How fast they are, no test can say."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from netsmith.costs.engines import Timing, compare_engines, fastest, largest_difference
from netsmith.errors import InputError, UnknownNameError


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


def test_eager_in_two_precisions() -> None:
    model = small().train()
    timings = compare_engines({"a": model, "b": small()}, torch.randn(1, 1, 4, 4), engines=["eager"], rounds=2)
    assert [(t.model, t.engine, t.precision) for t in timings] == [
        (name, "eager", precision) for name in "ab" for precision in ("fp32", "bf16")
    ]
    assert all(t.latency_ms > 0 and not t.why for t in timings)
    assert timings[0].difference == 0 < timings[1].difference < 0.1
    assert model.training


@pytest.mark.parametrize(("engine", "package"), [("openvino", "nncf"), ("onnxruntime", "onnxruntime")])
def test_other_engines_in_float_and_int8(engine: str, package: str) -> None:
    pytest.importorskip(package)
    torch.manual_seed(1)
    data = [torch.randn(8, 1, 4, 4) for _ in range(3)]
    told: list[tuple[int, int]] = []
    timings = compare_engines(
        {"a": small()},
        torch.randn(2, 1, 4, 4),
        engines=[engine],
        precisions=["fp32", "int8"],
        calibration=data,
        rounds=1,
        progress=lambda done, total, _: told.append((done, total)),
    )
    assert [t.why for t in timings] == ["", ""]
    assert timings[0].difference < 1e-5 < timings[1].difference < 0.15
    assert told == [(0, 2), (1, 2)]


def test_what_cannot_run_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    (timing,) = compare_engines({"a": small()}, torch.randn(1, 1, 4, 4), engines=["openvino"], precisions=["fp32"])
    assert timing.latency_ms is None and timing.why == "OpenVINO needs the package 'openvino', which is not installed."


def test_the_fastest_that_is_close_enough() -> None:
    timings = [
        Timing("a", "eager", "fp32", 3.0, 0.0),
        Timing("a", "openvino", "int8", 1.0, 0.2),
        Timing("a", "openvino", "bf16", 2.0, 0.01),
        Timing("a", "compile", "fp32", None, None, "no compiler"),
        Timing("b", "eager", "fp32", 0.5, 0.0),
    ]
    assert fastest(timings, "a") == timings[1]
    assert fastest(timings, "a", 0.05) == timings[2]
    assert fastest(timings, "c") is None


def test_differences() -> None:
    a = [torch.tensor([1.0, -2.0])]
    assert largest_difference(a, [torch.tensor([1.5, -2.0])]) == 0.25
    assert largest_difference(a, []) == float("inf") == largest_difference(a, [torch.ones(3)])
    assert largest_difference(a, [torch.tensor([float("nan"), 0])]) == float("inf")


def test_bad_input() -> None:
    x = torch.randn(1, 1, 4, 4)
    with pytest.raises(UnknownNameError, match="no engine or precision 'tvm'; known: compile, eager"):
        compare_engines({"a": small()}, x, engines=["tvm"])
    with pytest.raises(UnknownNameError, match="'int3'; known: bf16, fp32, int8"):
        compare_engines({"a": small()}, x, precisions=["int3"])
    with pytest.raises(InputError, match="no model to time"):
        compare_engines({}, x)
    with pytest.raises(InputError, match="rounds=0"):
        compare_engines({"a": small()}, x, rounds=0)
