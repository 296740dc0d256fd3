"""Optimizer state that grows along: moments are what the grown model's gradients are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import netsmith
from block_networks import images, stacked
from netsmith.errors import InputError
from netsmith.plans import plan_growth
from netsmith.recovery import carry_optimizer
from small_networks import network


def step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor) -> None:
    optimizer.zero_grad()
    model(x).square().sum().backward()
    optimizer.step()


@pytest.mark.parametrize("name", ["mlp", "concatenated", "recurrent"])
def test_a_moment_is_the_gradient_of_the_grown_model(name: str) -> None:
    model, x = network(name)
    model, x = model.double(), x.double()
    plan = plan_growth(netsmith.trace(model, x), widen={"*": 1.5})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9)
    step(model, optimizer, x)
    grown = netsmith.apply(model, plan)
    carried = carry_optimizer(optimizer, model, grown, plan)
    grown(x).square().sum().backward()
    for parameter in grown.parameters():
        assert torch.allclose(carried.state[parameter]["momentum_buffer"], parameter.grad, rtol=1e-9, atol=1e-12)


def test_adam_squares_its_shares_and_keeps_its_count() -> None:
    model, x = network("mlp")
    model, x = model.double(), x.double()
    plan = plan_growth(netsmith.trace(model, x), widen={"*": 2.0})
    optimizer = torch.optim.AdamW([{"params": [p]} for p in model.parameters()], lr=1e-3, betas=(0.8, 0.9))
    step(model, optimizer, x)
    grown = netsmith.apply(model, plan)
    carried = carry_optimizer(optimizer, model, grown, plan)
    share = torch.tensor(plan.widenings[0].share, dtype=torch.float64)
    source = torch.tensor(plan.widenings[0].source)
    before, after = optimizer.state[model[0].bias], carried.state[grown[0].bias]
    assert torch.allclose(after["exp_avg"], before["exp_avg"][source] * share)
    assert torch.allclose(after["exp_avg_sq"], before["exp_avg_sq"][source] * share**2)
    assert float(after["step"]) == 1.0 and after["step"] is not before["step"]
    assert [g["betas"] for g in carried.param_groups] == [(0.8, 0.9)] * 6
    step(grown, carried, x)
    assert float(carried.state[grown[0].bias]["step"]) == 2.0 and float(before["step"]) == 1.0


def test_inserted_blocks_start_without_state() -> None:
    model, x = stacked(), images(2)
    plan = plan_growth(netsmith.trace(model, x), widen={"*": 2.0}, deepen=1)
    optimizer = torch.optim.Adam(model.parameters())
    step(model, optimizer, x)
    grown = netsmith.apply(model, plan)
    carried = carry_optimizer(optimizer, model, grown, plan)
    assert sum(len(g["params"]) for g in carried.param_groups) == len(list(grown.parameters()))
    assert grown.blocks[3].conv1.weight not in carried.state and grown.blocks[2].conv1.weight in carried.state
    step(grown, carried, x)


def test_what_is_refused() -> None:
    model, x = network("mlp")
    wiring = netsmith.trace(model, x)
    plan = plan_growth(wiring, widen={"*": 2.0})
    grown = netsmith.apply(model, plan)
    with pytest.raises(InputError, match="optimizer is a str"):
        carry_optimizer("adam", model, grown, plan)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="that is not one of the model's"):
        carry_optimizer(torch.optim.SGD(grown.parameters(), lr=0.1), model, grown, plan)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    smaller = netsmith.plan_removal(wiring, keep=0.5)
    with pytest.raises(InputError, match="does more than grow"):
        carry_optimizer(optimizer, model, netsmith.apply(model, smaller), smaller)
    odd = torch.optim.Adafactor(model.parameters())
    step(model, odd, x)
    with pytest.raises(InputError, match="has another shape than it"):
        carry_optimizer(odd, model, grown, plan)
