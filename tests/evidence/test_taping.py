"""A tape gives what forward gives, follows the weights, and can be differentiated."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import netsmith
from netsmith.evidence import Checkpoint, advance, first_output
from netsmith.evidence.taping import tape
from small_networks import NETWORKS, network


def last_call(wiring: netsmith.Wiring) -> int:
    return next(o.call for o in wiring.output_origins if o.kind == "call")


@pytest.mark.parametrize("name", NETWORKS)
def test_from_every_call_the_tape_gives_the_output(name: str) -> None:
    model, x = network(name)
    wiring = netsmith.trace(model, x)
    end, start = last_call(wiring), Checkpoint(0, x)
    for call in range(end + 1):
        start = advance(wiring, start, call)
        taped = tape(wiring, model, start, end)
        for _ in range(2):
            assert torch.allclose(taped.run(), first_output(model(x)), atol=1e-6)


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        x = torch.relu_(self.a(x))
        y = self.b(x)
        y += x
        y[:, 0] = 1.0
        return self.c(y)


def test_calls_that_write_in_place() -> None:
    torch.manual_seed(0)
    model, x = InPlace().eval(), torch.randn(5, 4)
    wiring = netsmith.trace(model, x)
    with torch.no_grad():
        expected = model(x)
    for call in range(last_call(wiring) + 1):
        taped = tape(wiring, model, advance(wiring, Checkpoint(0, x), call), last_call(wiring))
        for _ in range(2):
            assert torch.allclose(taped.run(), expected, atol=1e-6)


def test_it_follows_the_weights_and_gives_their_gradients() -> None:
    torch.manual_seed(0)
    model, x = InPlace().eval(), torch.randn(5, 4)
    wiring = netsmith.trace(model, x)
    taped = tape(wiring, model, Checkpoint(0, x), last_call(wiring))
    with torch.no_grad():
        model.b.weight.mul_(2)
        assert torch.allclose(taped.run(), model(x), atol=1e-6)
    got = torch.autograd.grad(taped.run().square().sum(), [model.a.weight, model.b.weight])
    wanted = torch.autograd.grad(model(x).square().sum(), [model.a.weight, model.b.weight])
    for one, other in zip(got, wanted, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_what_looks_on_may_replace_a_result() -> None:
    model, x = network("residual")
    wiring = netsmith.trace(model, x)
    end = last_call(wiring)
    seen = []

    def look(stop, out):
        seen.append(stop.index)
        return out * 2

    with torch.no_grad():
        doubled = tape(wiring, model, Checkpoint(0, x), end).run(look, frozenset({end}))
        assert seen == [end] and torch.allclose(doubled, 2 * model(x), atol=1e-6)
