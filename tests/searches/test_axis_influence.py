"""What axes are worth, from gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import netsmith
from netsmith.errors import EvidenceError
from netsmith.searches.axis_influence import axis_influence


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)).eval()


def test_an_axis_whose_lesser_half_does_nothing_costs_nothing() -> None:
    model = network()
    with torch.no_grad():
        model[0].weight[:4] = 0
        model[0].bias[:4] = 0
        model[2].weight[:, :4] = 0
    data = [torch.randn(32, 4, generator=torch.Generator().manual_seed(i)) for i in range(8)]
    found = axis_influence(netsmith.trace(model, data[0][:1]), data)
    assert list(found) == ["0.weight:0", "2.weight:0"]
    assert found["0.weight:0"] == 0 and found["2.weight:0"] > 1e-4


def test_it_does_not_depend_on_the_size_of_batches() -> None:
    x = torch.randn(256, 4, generator=torch.Generator().manual_seed(0))
    wiring = netsmith.trace(network(), x[:1])
    one, other = (axis_influence(wiring, list(x.split(n)))["2.weight:0"] for n in (2, 4))
    assert one == pytest.approx(other, rel=0.35)  # the gradients of mean labels would be half as large
    assert axis_influence(wiring, [x], seed=1) == axis_influence(wiring, [x], seed=1)


def test_no_data() -> None:
    with pytest.raises(EvidenceError, match="data is empty"):
        axis_influence(netsmith.trace(network(), torch.randn(1, 4)), [])
