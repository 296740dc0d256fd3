"""ONNX files: names of inputs, and an absent package."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from netsmith.costs.onnx_form import need_onnx, onnx_runner, write_onnx
from netsmith.errors import CaptureError, MissingExtraError


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, *, values, offset):
        return self.fc(values) + offset, values * 2


def test_keywords_and_two_outputs(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model, inputs = Named(), {"values": torch.randn(2, 3), "offset": torch.randn(2, 2)}
    write_onnx(model, inputs, tmp_path / "model.onnx")
    run = onnx_runner(tmp_path / "model.onnx", 1)
    more = {"offset": torch.randn(5, 2), "values": torch.randn(5, 3)}
    for found, expected in zip(run(more), model(**more), strict=True):
        assert torch.allclose(found, expected, atol=1e-6)


def test_a_function_that_onnx_does_not_have(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")

    class Odd(nn.Module):
        def forward(self, x):
            return torch.linalg.eigvals(x).abs()

    with pytest.raises(CaptureError, match="torch.export cannot follow Odd"):
        write_onnx(Odd(), torch.randn(2, 3, 3), tmp_path / "model.onnx")


def test_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r'pip install "netsmith\[onnx\]"'):
        need_onnx()
