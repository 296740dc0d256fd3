"""How long forward holds what its calls make."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest
import torch
from torch import Tensor, nn

import netsmith
from netsmith.wiring.capture import capture
from netsmith.wiring.lifetimes import Held, Lifetimes
from small_networks import NETWORKS, network


class Does(nn.Module):
    """Runs one function of a (2, 3) float32 input: 24 bytes."""

    def __init__(self, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.run = run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x)


def watched(run: Callable[[Tensor], Tensor]) -> Lifetimes:
    found = capture(Does(run), torch.randn(2, 3), rules=None, lifetimes=True).lifetimes
    assert found is not None and found.given == 24
    return found


def rebound(x: Tensor) -> Tensor:
    x = x + 1
    x = x * 2
    return x - 3


def kept(x: Tensor) -> Tensor:
    first = x + 1
    second = first * 2
    return second - 3


def viewed(x: Tensor) -> Tensor:
    y = (x + 1).reshape(6)[2:]
    return y * 2


def in_place(x: Tensor) -> Tensor:
    y = x + 1
    y.mul_(2)
    return y.relu_()


@pytest.mark.parametrize(
    ("run", "spans"),
    [
        (rebound, {(0, 1, 24), (1, 2, 24), (2, 2, 24)}),  # what is not named any more goes after it was read
        (kept, {(0, 2, 24), (1, 2, 24), (2, 2, 24)}),  # a local variable holds to the end
        (viewed, {(0, 3, 24), (3, 3, 16)}),  # views hold the memory of what they look at, and have none
        (in_place, {(0, 2, 24)}),
        (lambda x: x.t(), set()),  # of the input
        (lambda x: torch.stack([x, x]).unbind(0)[1] + x, {(0, 2, 48), (2, 2, 24)}),
    ],
)
def test_what_is_held_from_call_to_call(run: Callable[[Tensor], Tensor], spans: set[tuple[int, int, int]]) -> None:
    assert {(held.call, held.last, held.bytes) for held in watched(run).held} == spans


def test_weights_are_nobody_s_result_and_inputs_are_given() -> None:
    model = nn.Linear(3, 3)
    found = capture(model, (torch.randn(2, 3),), rules=None, lifetimes=True).lifetimes
    assert found == Lifetimes((Held(0, 0, 0, 24),), 24, 1)
    assert capture(model, torch.randn(2, 3), rules=None).lifetimes is None


@pytest.mark.parametrize("name", NETWORKS)
def test_fake_tensors_live_as_long_as_real_ones(name: str) -> None:
    model, x = network(name)
    fake, real = (capture(model, x, rules=None, fake=fake, lifetimes=True).lifetimes for fake in (True, False))
    assert fake is not None and fake.held and fake == real


def test_a_wiring_knows_them_and_says_so_where_it_cannot() -> None:
    model, x = network("residual")
    wiring = netsmith.trace(model, x)
    assert wiring.lifetimes is not None and wiring.lifetimes.calls == len(wiring.calls)
    times = count()
    fickle = netsmith.trace(Does(lambda x: x + 1 if next(times) % 2 else x * float(x.sum())), torch.ones(2, 3))
    assert fickle.lifetimes is None or len(fickle.calls) == fickle.lifetimes.calls
