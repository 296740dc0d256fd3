"""First-order influence against what it approximates."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import netsmith
from block_networks import Streamed, images, stacked
from netsmith.evidence import influence
from netsmith.evidence.bypassing import bypassed
from netsmith.evidence.first_order import first_order

X, Y = images(12), torch.arange(12) % 5


def test_it_is_the_change_of_the_loss_for_a_block_that_does_little() -> None:
    model = stacked()
    with torch.no_grad():
        model.blocks[1].conv2.weight.mul_(1e-3)
        model.blocks[1].conv2.bias.mul_(1e-3)
    wiring = netsmith.trace(model, images(1))
    for i in range(4):  # of one example the absolute value is that of the change
        x, y = X[i : i + 1], Y[i : i + 1]
        found = influence(wiring, [(x, y)], kind="taylor", loss=nn.functional.cross_entropy, blocks=["blocks.1"])
        with torch.no_grad(), bypassed(model, {"blocks.1": None}):
            gone = nn.functional.cross_entropy(model(x), y)
        change = float(gone - nn.functional.cross_entropy(model(x), y).detach())
        assert found["blocks.1"] == pytest.approx(abs(change), rel=0.02)


def test_a_branch_that_a_sum_overwrites() -> None:
    class Writing(Streamed):
        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            mixed = self.layers[0].mix(x)
            mixed += x  # in place: the branch's result is gone
            return self.head(mixed)

    torch.manual_seed(0)
    writing, plain = Writing("pre").eval(), Streamed("pre").eval()
    plain.load_state_dict(writing.state_dict())
    x = torch.randn(1, 3)
    wiring = netsmith.trace(writing, x)
    assert [b.name for b in wiring.branches] == ["layers.0.mix"]
    value = first_order(wiring, wiring.branches, [(x, None)], lambda out, _: out.sum())["layers.0.mix"]
    mixed = writing.layers[0].mix(writing.stem(x)).detach()
    assert value == pytest.approx(abs(float((writing.head.weight.detach().sum(0) * mixed).sum())), rel=1e-4)


def test_nothing_of_the_model_changes_and_seeds_repeat() -> None:
    model = stacked().train()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    wiring = netsmith.trace(model, images(1))
    state = torch.random.get_rng_state()
    one, two = (influence(wiring, [X], kind="taylor", seed=3) for _ in range(2))
    assert one == two and one != influence(wiring, [X], kind="taylor", seed=4)
    assert torch.equal(state, torch.random.get_rng_state()) and model.training
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
