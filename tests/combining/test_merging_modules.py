"""Merging models in memory."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from netsmith.combining import merge_models, ties
from netsmith.errors import InputError, ModelError
from small_networks import Residual


class Tied(nn.Module):
    """An embedding whose weight is the last layer's too, and an integer buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])
        self.embed, self.head = nn.Embedding(6, 4), nn.Linear(4, 6, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("count", torch.tensor(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def nets(kind: type[nn.Module], count: int) -> list[nn.Module]:
    found = []
    for seed in range(count):
        torch.manual_seed(seed)
        found.append(kind())
    return found


def test_an_average_of_networks_with_statistics() -> None:
    a, b = nets(Residual, 2)
    b.get_buffer("bn1.running_mean").fill_(2.0)
    a.eval()
    before = copy.deepcopy(a.state_dict())
    merged = merge_models([a, b], each=[{"weight": 3}, {"weight": 1}])
    assert not merged.training
    assert torch.allclose(merged.get_parameter("conv1.weight"), 0.75 * a.conv1.weight + 0.25 * b.conv1.weight)
    assert torch.allclose(merged.get_buffer("bn1.running_mean"), torch.full((12,), 0.5))
    assert all(torch.equal(t, before[n]) for n, t in a.state_dict().items())
    merged(torch.randn(2, 3, 6, 6))


def test_ties_between_tensors_stay_and_integers_are_the_bases() -> None:
    base, a, b = nets(Tied, 3)
    a.count.fill_(9)
    merged = merge_models([a, b], "ties", base=base, parameters={"density": 0.5})
    assert merged.head.weight is merged.embed.weight
    assert int(merged.count) == 3
    expected = ties(base.embed.weight, [a.embed.weight, b.embed.weight], density=0.5)
    assert torch.equal(merged.embed.weight, expected)
    assert merged.embed.weight.requires_grad


def test_curves_run_over_the_layers() -> None:
    a, b = nets(Tied, 2)
    merged = merge_models([b], "slerp", base=a, parameters={"t": [{"filter": "layers", "value": [0, 1]}, {"value": 0}]})
    assert torch.allclose(merged.layers[0].weight, a.layers[0].weight)
    assert torch.allclose(merged.layers[2].weight, b.layers[2].weight)
    assert torch.allclose(merged.embed.weight, a.embed.weight)


def test_says_what_is_wrong() -> None:
    a, b = nets(Tied, 2)
    with pytest.raises(InputError, match="at least one"):
        merge_models([])
    with pytest.raises(InputError, match="unknown; there are linear"):
        merge_models([a, b], "mean")
    with pytest.raises(InputError, match="ties needs a base_model"):
        merge_models([a, b], "ties")
    with pytest.raises(InputError, match="linear takes no base"):
        merge_models([a, b], base=a)
    with pytest.raises(InputError, match="each has 1 entries for 2 models"):
        merge_models([a, b], each=[{}])
    b.head, b.extra = nn.Linear(4, 7, bias=False), nn.Parameter(torch.ones(1))
    with pytest.raises(ModelError, match="extra: in model 1, not in model 0\n  head.weight: ") as caught:
        merge_models([a, b])
    assert "(6, 4) in model 0, (7, 4) in model 1" in str(caught.value)
    with pytest.raises(ModelError, match="meta"):
        merge_models([a, copy.deepcopy(a).to("meta")])
