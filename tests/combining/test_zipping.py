"""Zipping: as wide as one member, close to all of them, and exact where the members are one network shuffled."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import netsmith
from netsmith.combining import parallel, zip_models
from netsmith.combining.permutations import movable
from netsmith.errors import InputError, UnknownNameError
from netsmith.surgery import permute
from netsmith.wiring import trace
from small_networks import Residual


class Dense(nn.Module):
    """Two layers laid end to end, as in a DenseNet."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 5, 3, padding=1)
        self.last = nn.Conv2d(11, 8, 1)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        x = torch.relu(self.last(torch.cat([x, torch.relu(self.second(x))], 1)))
        return self.fc(x.mean((2, 3)))


def network(kind: type[nn.Module], seed: int) -> nn.Module:
    torch.manual_seed(seed)
    model = kind().eval()
    with torch.no_grad():
        for tensor in (*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())):
            tensor.add_(torch.rand_like(tensor), alpha=0.2)
    return model


def batches(count: int = 8) -> list[Tensor]:
    return list(torch.randn(count * 16, 3, 6, 6, generator=torch.Generator().manual_seed(0)).split(16))


@pytest.mark.parametrize("repair", ["none", "compensate"])
@pytest.mark.parametrize("kind", [Residual, Dense])
def test_a_shuffled_copy_is_folded_without_loss(kind: type[nn.Module], repair: str) -> None:
    model, data = network(kind, 0), batches()
    wiring = trace(model, data[0])
    generator = torch.Generator().manual_seed(1)
    orders = {n: torch.randperm(wiring.axis[n].size, generator=generator).tolist() for n in movable(wiring).axes}
    other = permute(model, wiring, orders)
    zipped = zip_models([model, other], data[0], data, repair=repair)
    assert zipped.left == {} and set(zipped.across.values()) == {1.0}
    assert [p.shape for p in zipped.model.parameters()] == [p.shape for p in model.parameters()]
    assert torch.allclose(zipped.model(data[0]), model(data[0]), atol=1e-4)


def test_saved_and_loaded_and_verified(tmp_path: Path) -> None:
    members, data = [network(Dense, seed) for seed in range(2)], batches()
    zipped = zip_models(members, data[0], data)
    assert netsmith.verify(members[0], zipped.model, zipped.plan, data[0])
    netsmith.save(zipped.model, tmp_path / "one", plan=zipped.plan)
    assert torch.equal(netsmith.load(tmp_path / "one", Dense)(data[0]), zipped.model(data[0]))


def test_zipped_up_to_a_layer_the_rest_stays_apart() -> None:
    members, data = [network(Dense, seed) for seed in range(3)], batches()
    zipped = zip_models(members, data[0], data, until="second")
    assert zipped.left == {"last.weight:0": "it is made behind second"}
    assert {name: tuple(p.shape[:2]) for name, p in zipped.model.named_parameters() if p.dim() == 4} == {
        "first.weight": (6, 3),
        "second.weight": (5, 6),
        "last.weight": (24, 11),
    }
    whole, mean = zip_models(members, data[0], data), parallel(members, rule="logits")

    def gap(model: nn.Module) -> float:
        held_out = torch.randn(64, 3, 6, 6, generator=torch.Generator().manual_seed(9))
        return float((model(held_out) - mean(held_out)).square().mean())

    with torch.no_grad():
        assert gap(zipped.model) < gap(whole.model)
        assert gap(zip_models(members, data[0], data, until="first").model) < gap(zipped.model)


def test_what_it_learnt_apart_it_knows_together() -> None:
    """Two networks, each of which saw half of the classes; compensation goes beyond fresh statistics."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(6, 12, generator=generator) * 1.5
    y = torch.arange(600) % 6
    x = centres[y] + torch.randn(600, 12, generator=generator)
    members = []
    for half in (y < 3, y >= 3):
        torch.manual_seed(len(members))
        model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 6))
        descent = torch.optim.Adam(model.parameters(), 0.02)
        for _ in range(60):
            loss = cross_entropy(model(x[half]), y[half])
            descent.zero_grad()
            loss.backward()
            descent.step()
        members.append(model.eval())

    def accuracy(model: nn.Module) -> float:
        with torch.no_grad():
            return float((model(x).argmax(1) == y).double().mean())

    data = list(x.split(64))
    ensemble = accuracy(parallel(members, rule="logits"))
    folded, fitted = (zip_models(members, x[:2], data, repair=r) for r in ("statistics", "compensate"))
    assert max(accuracy(m) for m in members) < 0.6 < ensemble
    assert accuracy(fitted.model) > ensemble - 0.05
    assert accuracy(fitted.model) >= accuracy(folded.model)
    again = zip_models(members, x[:2], data)
    assert all(torch.equal(a, b) for a, b in zip(again.model.parameters(), fitted.model.parameters(), strict=True))


def test_statistics_are_new_and_listed() -> None:
    members, data = [network(Residual, seed) for seed in range(2)], batches()
    plain, fresh = (zip_models(members, data[0], data, repair=r) for r in ("none", "statistics"))
    assert torch.equal(plain.model.conv1.weight, fresh.model.conv1.weight)
    assert not torch.equal(plain.model.bn1.running_var, fresh.model.bn1.running_var)
    assert "bn1.running_var" in fresh.plan.refitted


def test_bad_input() -> None:
    members, data = [network(Dense, seed) for seed in range(2)], batches(1)
    with pytest.raises(InputError, match="repair='later' is unknown; there are 'compensate'"):
        zip_models(members, data[0], data, repair="later")
    with pytest.raises(UnknownNameError, match="no module 'third' runs; these do: first, second"):
        zip_models(members, data[0], data, until="third")
