"""Forwards that start in the middle give what whole forwards give."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import netsmith
from netsmith.errors import EvidenceError
from netsmith.evidence import Checkpoint, advance, first_output, resume
from netsmith.wiring import tensor_slots
from small_networks import NETWORKS, network


@pytest.mark.parametrize("name", NETWORKS)
def test_from_every_call_the_output_is_the_same(name: str) -> None:
    model, x = network(name)
    wiring = netsmith.trace(model, x)
    start = Checkpoint(0, x)
    for call in range(len(wiring.calls)):
        start = advance(wiring, start, call)
        assert start.call == call and len(start.answers) == call
        for _ in range(2):  # in-place calls must not spoil the checkpoint
            assert torch.allclose(first_output(resume(wiring, model, start)), first_output(model(x)), atol=1e-6)


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        x = torch.relu_(self.a(x))
        x += self.b(x)
        x[:, 0] = 1.0
        return self.c(x)


def test_calls_that_write_in_place() -> None:
    torch.manual_seed(0)
    model, x = InPlace().eval(), torch.randn(5, 4)
    wiring = netsmith.trace(model, x)
    expected = model(x)
    for call in range(len(wiring.calls)):
        start = advance(wiring, Checkpoint(0, x), call)
        for _ in range(2):
            assert torch.allclose(resume(wiring, model, start), expected)


def test_only_what_is_read_later_takes_memory() -> None:
    model, x = network("residual")
    wiring = netsmith.trace(model, x)
    last = len(wiring.calls) - 1
    start = advance(wiring, Checkpoint(0, x), last)
    whole = [a for a in start.answers if isinstance(a, torch.Tensor) and not a.isnan().all()]
    assert len(whole) == 1 and whole[0].shape == (2, 8)


def test_what_lies_before_is_not_computed() -> None:
    """The changed layer lies behind the checkpoint; a change before it has no effect."""
    model, x = network("mlp")
    wiring = netsmith.trace(model, x)
    start = advance(wiring, Checkpoint(0, x), 2)
    other = netsmith.apply(model, netsmith.plan_removal(wiring, keep=1))
    slots = {slot.name: slot.tensor for slot in tensor_slots(other)}
    with torch.no_grad():
        slots["0.weight"].zero_()
        assert torch.equal(resume(wiring, other, start), model(x))
        slots["4.weight"].zero_()
        assert torch.equal(resume(wiring, other, start), slots["4.bias"].expand(4, 3))


def test_another_path_is_an_error() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 2)

        def forward(self, x):
            h = self.a(x)
            return self.b(torch.tanh(h) if float(x.sum()) > 0 else torch.relu(h))

    model = Gated()
    wiring = netsmith.trace(model, torch.ones(2, 4))
    with pytest.raises(EvidenceError, match="another path than with the example inputs: call"):
        resume(wiring, model, Checkpoint(0, -torch.ones(2, 4)))


def test_a_call_that_passes_on_what_it_was_given() -> None:
    """Dropout in eval mode returns its argument."""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 6), nn.Dropout(), nn.Linear(6, 3)).eval(), torch.randn(5, 4)
    wiring = netsmith.trace(model, x)
    for call in range(len(wiring.calls)):
        assert torch.allclose(resume(wiring, model, advance(wiring, Checkpoint(0, x), call)), model(x), atol=1e-6)
