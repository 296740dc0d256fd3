"""Reordering units: the same function, the same kind of model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from netsmith.errors import PlanError
from netsmith.surgery import permute
from netsmith.wiring import trace
from small_networks import Residual


def test_moves_every_tensor_of_an_axis_and_leaves_the_given_model() -> None:
    torch.manual_seed(0)
    model = Residual().eval()
    x = torch.randn(2, 3, 6, 6)
    wiring = trace(model, x)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1)).tolist()
    moved = permute(model, wiring, {"conv1.weight:0": order})
    assert torch.equal(moved.conv1.weight, model.conv1.weight[order])
    assert torch.equal(moved.bn1.running_var, model.bn1.running_var[order])
    assert torch.equal(moved.conv2.weight, model.conv2.weight[:, order])
    assert moved.stem.weight is not model.stem.weight
    assert isinstance(moved.conv1.weight, nn.Parameter)
    back = permute(moved, wiring, {"conv1.weight:0": [order.index(i) for i in range(12)]})
    assert torch.equal(back.conv2.weight, model.conv2.weight)
    with torch.no_grad():
        assert torch.allclose(moved(x), model(x), atol=1e-6)


@pytest.mark.parametrize(
    ("orders", "message"),
    [
        ({"nowhere": [0]}, "'nowhere' is no axis that may change"),
        ({"fc.weight:0": [1, 0, 2, 3, 4]}, "no axis that may change: a dimension of the model's output"),
        ({"conv1.weight:0": [0, 0]}, "must hold every unit 0..11 once"),
    ],
)
def test_says_what_is_wrong(orders: dict[str, list[int]], message: str) -> None:
    model = Residual()
    with pytest.raises(PlanError, match=message):
        permute(model, trace(model, torch.randn(2, 3, 6, 6)), orders)
    with pytest.raises(PlanError, match="another structure"):
        permute(nn.Linear(2, 2), trace(model, torch.randn(2, 3, 6, 6)), {})
