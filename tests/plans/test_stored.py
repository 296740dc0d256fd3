"""Integer weights in layers."""

from __future__ import annotations

import copy
import sys

import pytest
import torch
from torch import nn

from netsmith.errors import MissingExtraError
from netsmith.plans import SetPrecision
from netsmith.plans.stored import need_torchao, set_precisions, stored


def test_in_place_and_copied() -> None:
    pytest.importorskip("torchao")
    model = nn.Sequential(nn.Conv2d(2, 4, 1), nn.Flatten(), nn.Linear(4, 2))
    before = copy.deepcopy(model)
    set_precisions(model, (SetPrecision("0.weight", "conv2d", 4), SetPrecision("2.weight", "linear", 8)))
    x = torch.randn(3, 2, 1, 1)
    assert torch.allclose(model(x), before(x), atol=0.2) and not model(x).equal(before(x))
    assert copy.deepcopy(model)(x).equal(model(x))
    assert model[0].bias.equal(before[0].bias)


def test_on_meta() -> None:
    pytest.importorskip("torchao")
    weight = stored(torch.empty(4, 3, device="meta"), SetPrecision("w", "linear", 8))
    assert weight.is_meta and weight.qdata.is_meta and weight.scale.shape == (4, 1)


def test_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(MissingExtraError, match=r'pip install "netsmith\[quant\]"'):
        need_torchao()
