"""Compiled and statically quantized forms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from netsmith.costs.engines import largest_difference
from netsmith.costs.torch_form import eager_runner, int8_runner


def test_static_int8_under_compile() -> None:
    pytest.importorskip("torchao")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)).train()
    data = [torch.randn(8, 1, 4, 4) for _ in range(3)]
    run = int8_runner(model, data[0][:1], data)
    assert model.training
    assert 0 < largest_difference(eager_runner(model)(data[0][:1]), run(data[0][:1])) < 0.1


def test_a_copy_runs() -> None:
    model = nn.Linear(2, 2)
    run, x = eager_runner(model), torch.ones(1, 2)
    before = run(x)[0]
    with torch.no_grad():
        model.weight.zero_()
    assert run(x)[0].equal(before)
