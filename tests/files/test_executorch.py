"""ExecuTorch files, where the package is installed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from netsmith.files import export

pytest.importorskip("executorch.exir")


def test_written_run_and_compared(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    done = export(model, torch.randn(1, 6), tmp_path / "out", to="executorch")
    assert done.file == "model.pte" and done.batches == (1,) and done.largest_difference < 1e-4
