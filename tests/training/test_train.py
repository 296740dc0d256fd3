"""The training loop."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

from netsmith.data import Examples, batches, call
from netsmith.errors import InputError, ModelError
from netsmith.training import Training
from netsmith.training import train as train_as_told
from netsmith.training.rates import schedule

LINE = [(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[2.0], [-3.0]]))]


def train(model, data, objective, *, progress=None, **options):
    return train_as_told(model, data, objective, Training(**options), progress=progress)


def error(model, x, y):
    return mse_loss(call(model, x), y)


def linear(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Linear(2, 1, bias=False)


@pytest.mark.parametrize(("optimizer", "lr"), [("sgd", 0.3), ("adamw", 0.3)])
def test_it_finds_the_answer_and_leaves_the_given_model_alone(optimizer: str, lr: float) -> None:
    model = linear()
    before = copy.deepcopy(model.state_dict())
    trained = train(model, LINE, error, epochs=150, lr=lr, optimizer=optimizer, weight_decay=0, clip=None)
    assert trained.weight.tolist()[0] == pytest.approx([2, -3], abs=0.02)
    assert not trained.training
    assert model.training
    assert torch.equal(model.weight, before["weight"])
    assert model.weight.grad is None


def test_the_seed_decides_and_all_random_states_are_put_back() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    data = batches(Examples(torch.randn(16, 4), torch.randn(16, 1)), 4, shuffle=True, seed=9)
    torch.manual_seed(123)
    state, loader_state = torch.get_rng_state(), data.generator.get_state()

    def weights(seed: int) -> torch.Tensor:
        return train(model, data, error, epochs=2, lr=0.1, seed=seed)[0].weight

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(data.generator.get_state(), loader_state)

    def fail(model, x, y):
        torch.rand(3)
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        train(model, data, fail, epochs=1, lr=0.1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(data.generator.get_state(), loader_state)


def test_frozen_parameters_stay_and_vectors_do_not_decay() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    model[0].requires_grad_(False)

    def nothing(model, x, y):
        return 0 * call(model, x).sum()

    trained = train(model, LINE, nothing, epochs=5, lr=0.1, weight_decay=0.5)
    assert torch.equal(trained[0].weight, model[0].weight)
    assert torch.equal(trained[1].bias, model[1].bias)
    assert trained[1].weight.norm() < model[1].weight.norm()


def test_the_schedule_rises_and_falls() -> None:
    rates = [schedule(step, 10, 0.2) for step in range(10)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert all(a > b for a, b in pairwise(rates[2:]))
    assert 0 < rates[-1] < 0.1
    assert schedule(0, 1, 0.0) == 1.0


def test_progress_sees_every_step() -> None:
    seen = []
    train(linear(), LINE * 3, error, epochs=2, lr=0.1, progress=lambda *event: seen.append(event))
    assert [(step, total) for step, total, _ in seen] == [(i, 6) for i in range(1, 7)]
    assert [m["epoch"] for *_, m in seen] == [1, 1, 1, 2, 2, 2]
    assert seen[0][2]["lr"] == pytest.approx(0.1)
    assert seen[-1][2]["loss"] < seen[0][2]["loss"]


def test_data_without_a_length_is_counted() -> None:
    class Lengthless:
        def __iter__(self):
            return iter(LINE * 2)

    seen = []
    train(linear(), Lengthless(), error, epochs=1, lr=0.1, progress=lambda *event: seen.append(event[:2]))
    assert seen == [(1, 2), (2, 2)]


def test_tuples_and_dicts_are_arguments() -> None:
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2, 1)

        def forward(self, x, scale):
            return self.fc(x) * scale

    x, y = LINE[0]
    data = [((x, torch.tensor(1.0)), y), ({"x": x, "scale": torch.tensor(1.0)}, y)]
    trained = train(Scaled(), data, error, epochs=60, lr=0.3, weight_decay=0, clip=None)
    assert mse_loss(trained(x, 1.0), y) < 0.1


def test_unusable_data() -> None:
    with pytest.raises(InputError, match="the data is empty"):
        train(linear(), [], error, epochs=1, lr=0.1)
    with pytest.raises(InputError, match="can be iterated only once"):
        train(linear(), iter(LINE), error, epochs=1, lr=0.1)
    with pytest.raises(InputError, match=r"step 1 of 2 \(epoch 1\) holds NaN or infinite inputs"):
        train(linear(), [(LINE[0][0] * float("nan"), LINE[0][1])] * 2, error, epochs=1, lr=0.1)


def test_divergence_says_when_and_what_to_lower() -> None:
    with pytest.raises(InputError, match=r"the loss is (inf|nan) at step \d+ of 400 .*lower lr=1e\+06 \(try 100000\)"):
        train(linear(), LINE, error, epochs=400, lr=1e6, clip=None)


def test_a_loss_that_is_no_number() -> None:
    with pytest.raises(InputError, match=r"single number, not tensor \(2, 1\)"):
        train(linear(), LINE, lambda m, x, y: call(m, x) - y, epochs=1, lr=0.1)
    with pytest.raises(InputError, match="does not depend on any parameter"):
        train(linear(), LINE, lambda m, x, y: y.sum(), epochs=1, lr=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"lr": 0.0}, "lr must be a positive number"),
        ({"lr": float("nan")}, "lr must be a positive number"),
        ({"optimizer": "lion"}, "optimizer='lion' is unknown; there are 'sgd' and 'adamw'"),
        ({"weight_decay": -1}, "weight_decay must be 0 or more"),
        ({"warmup": 1.0}, "warmup is a share of all steps"),
        ({"clip": 0}, "clip must be positive or None"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        train(linear(), LINE, error, **{"epochs": 1, "lr": 0.1, **options})


def test_unusable_models() -> None:
    with pytest.raises(ModelError, match="ReLU has no parameter that requires a gradient"):
        train(nn.ReLU(), LINE, error, epochs=1, lr=0.1)
    sick = linear()
    with torch.no_grad():
        sick.weight[0, 0] = float("nan")
    with pytest.raises(ModelError, match="weight holds NaN or infinite weights before training"):
        train(sick, LINE, error, epochs=1, lr=0.1)
