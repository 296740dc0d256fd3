"""Boosting: weak members together do what none does alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from netsmith.combining.ensembles import boost, fitting
from netsmith.errors import InputError


def ring() -> tuple[Tensor, Tensor]:
    """Inside a circle, outside it: no straight line tells them apart."""
    x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    return x, (x.square().sum(1) > 1.4).long()


def right(model: nn.Module) -> float:
    x, y = ring()
    with torch.no_grad():
        return float((model(x).argmax(1) == y).float().mean())


class Stump(nn.Module):
    """The best cut of one coordinate."""

    def __init__(self) -> None:
        super().__init__()
        self.axis, self.cut, self.outputs = 0, nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(2, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.outputs[(x[:, self.axis] > self.cut).long()]


def fit_stump(model: Stump, x: Tensor, target: Tensor, weights: Tensor) -> nn.Module:
    numbers = target if target.is_floating_point() else nn.functional.one_hot(target, 2).float()
    best = float("inf")
    for axis in (0, 1):
        for cut in torch.linspace(-2, 2, 33):
            side = x[:, axis] > cut
            means = torch.stack(
                [(weights[s, None] * numbers[s]).sum(0) / weights[s].sum().clamp_min(1e-9) for s in (~side, side)]
            )
            loss = float((weights[:, None] * (numbers - means[side.long()]).square()).sum())
            if loss < best:
                best = loss
                model.axis, model.cut.data, model.outputs.data = axis, cut, means
    return model


@pytest.mark.parametrize("method", ["samme", "gradient"])
def test_stumps_together(method: str) -> None:
    x, y = ring()
    alone = right(fit_stump(Stump(), x, y, torch.ones(300)))
    made = boost(Stump, x, y, rounds=20, method=method, fit=fit_stump)
    assert alone < 0.8
    assert right(made) > 0.9
    assert len(made.members) == 20
    assert torch.equal(made.weights, boost(Stump, x, y, rounds=20, method=method, fit=fit_stump).weights)


@pytest.mark.parametrize("method", ["samme", "gradient"])
def test_networks_with_the_training_of_ours(method: str) -> None:
    x, y = ring()

    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))

    state = torch.get_rng_state()
    made = boost(build, x, y, rounds=3, method=method, fit=fitting(epochs=3, lr=0.05))
    assert torch.equal(torch.get_rng_state(), state)
    assert right(made) > right(boost(build, x, y, rounds=1, method=method, fit=fitting(epochs=3, lr=0.05))) - 0.02
    exported = torch.export.export(made, (x,)).module()
    assert torch.allclose(exported(x), made(x), atol=1e-5)


class Fixed(nn.Module):
    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, x: Tensor) -> Tensor:
        inside = self.weight * (1.4 - x.square().sum(1))
        return torch.stack([inside, -inside], 1)


def test_nothing_left_to_correct_and_no_better_than_chance() -> None:
    x, y = ring()
    assert len(boost(lambda: Fixed(1.0), x, y, rounds=5, fit=lambda m, *_: m).members) == 1
    with pytest.raises(InputError, match="the first member is no better than chance"):
        boost(lambda: Fixed(-1.0), x, y, rounds=5, fit=lambda m, *_: m)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "x"}, "method='x' is unknown; there are samme, gradient"),
        ({"rounds": 0}, "boost needs rounds ≥ 1 and rate in"),
        ({"rate": 2.0}, "boost needs rounds ≥ 1 and rate in"),
        ({"y": torch.zeros(3)}, r"boost needs examples \(N, ...\) and labels \(N,\)"),
    ],
)
def test_bad_input(change, message: str) -> None:
    x, y = ring()
    with pytest.raises(InputError, match=message):
        boost(**{"build": Stump, "x": x, "y": y, "rounds": 1, "fit": fit_stump, **change})
