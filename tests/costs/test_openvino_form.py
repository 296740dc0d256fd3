"""OpenVINO models: shapes of inputs, what stays float, absent packages."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from netsmith.costs.openvino_form import openvino_model, openvino_runner, quantized_openvino
from netsmith.errors import MissingExtraError


def test_only_the_batch_is_free_and_kept_operations_stay_floats() -> None:
    pytest.importorskip("nncf")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)).eval()
    x = torch.randn(1, 1, 4, 4)
    made = openvino_model(model, x)
    assert [d.is_dynamic for d in made.inputs[0].partial_shape] == [True, False, False, False]
    data = [torch.randn(8, 1, 4, 4) for _ in range(2)]

    def rounded(found) -> int:
        return sum(op.get_type_name() == "FakeQuantize" for op in found.get_ops())

    whole = quantized_openvino(made, data)
    part = quantized_openvino(made, data, float_types=["MatMul"])
    assert rounded(whole) > rounded(part) > rounded(made) == 0
    run = openvino_runner(made, 1, fixed=x)
    assert torch.allclose(run(x)[0], model(x), atol=1e-5)


def test_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r'pip install "netsmith\[openvino\]"'):
        openvino_model(nn.Linear(2, 2), torch.randn(1, 2))
