"""Alignment: a network that was shuffled is put back in order; two seeds come closer; the function stays."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from netsmith.combining import align
from netsmith.combining.permutations import movable
from netsmith.errors import EvidenceError, InputError, ModelError
from netsmith.surgery import permute
from netsmith.wiring import Wiring, trace
from small_networks import Attention, Concatenated, Residual

NETWORKS = {Residual: (2, 3, 6, 6), Concatenated: (2, 3, 4, 4), Attention: (2, 7, 6)}


def network(kind: type[nn.Module], seed: int = 0) -> tuple[nn.Module, torch.Tensor, Wiring]:
    torch.manual_seed(seed)
    model = kind().eval()
    with torch.no_grad():
        for tensor in (*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())):
            tensor.add_(torch.rand_like(tensor), alpha=0.2)
    x = torch.randn(NETWORKS[kind])
    return model, x, trace(model, x)


def shuffled(model: nn.Module, wiring: Wiring, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    orders = {n: torch.randperm(wiring.axis[n].size, generator=generator).tolist() for n in movable(wiring).axes}
    return permute(model, wiring, orders)


@pytest.mark.parametrize("kind", NETWORKS)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 1000))
def test_every_axis_can_be_shuffled(kind: type[nn.Module], seed: int) -> None:
    model, x, wiring = network(kind)
    with torch.no_grad():
        assert torch.allclose(shuffled(model, wiring, seed)(x), model(x), atol=1e-5)


@pytest.mark.parametrize("method", ["weights", "activations"])
@pytest.mark.parametrize("kind", [Residual, Concatenated])
def test_a_shuffled_network_is_put_back(kind: type[nn.Module], method: str) -> None:
    model, _x, wiring = network(kind)
    other = shuffled(model, wiring, 5)
    data = [torch.randn(16, *NETWORKS[kind][1:]) for _ in range(4)]
    aligned = align(wiring, other, data=data, method=method)
    assert all(torch.allclose(a, b) for a, b in zip(aligned.model.parameters(), model.parameters(), strict=True))
    assert aligned.after > aligned.before
    assert aligned.error < 1e-5


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("method", ["weights", "activations"])
def test_another_seed_comes_closer_and_computes_the_same(kind: type[nn.Module], method: str) -> None:
    _, x, wiring = network(kind)
    other, _, _ = network(kind, seed=1)
    aligned = align(wiring, other, data=[x], method=method)
    assert aligned.orders
    assert aligned.after > aligned.before
    with torch.no_grad():
        assert torch.allclose(aligned.model(x), other(x), atol=1e-5)
    again = align(wiring, other, data=[x], method=method)
    assert again.orders == aligned.orders


class Placed(nn.Module):
    """Units of the hidden axis are weighed by where they stand, by a table that the constructor computes."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(4, 6), nn.Linear(6, 3)
        self.register_buffer("ramp", torch.arange(6.0), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(self.up(x).relu() * self.ramp)


def test_units_with_a_place_stay() -> None:
    torch.manual_seed(0)
    model = Placed()
    found = movable(trace(model, torch.randn(2, 4)))
    assert found.axes == ()
    assert "ramp is computed by the constructor" in found.left["up.weight:0"]


def test_says_what_is_wrong() -> None:
    model, _x, wiring = network(Residual)
    with pytest.raises(InputError, match="'magic' is unknown; there are 'weights', 'activations'"):
        align(wiring, model, method="magic")
    with pytest.raises(EvidenceError, match="needs data"):
        align(wiring, model, method="activations")
    with pytest.raises(ModelError, match="another structure"):
        align(wiring, nn.Linear(3, 3))
    noisy = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    wiring = trace(noisy, torch.randn(2, 4))
    noisy.register_forward_hook(lambda module, args, out: out + next(noise))
    noise = iter([torch.tensor(1.0), torch.tensor(2.0), torch.tensor(3.0)])
    with pytest.raises(ModelError, match="same outputs twice"):
        movable(wiring)
