"""Forwards that stop, hand over, go on, and end."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

import netsmith
from netsmith.errors import EvidenceError
from netsmith.evidence import Forward
from netsmith.wiring.capture import transparent_functional
from small_networks import NETWORKS, mlp, network


def linear_stops(model: nn.Module, x: torch.Tensor) -> dict[int, str]:
    calls = netsmith.trace(model, x).calls
    return {i: call.name for i, call in enumerate(calls) if call.name in ("linear", "conv2d")}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_call_of_the_wiring_can_be_a_stop(name: str) -> None:
    """Counted as in the wiring; run unchanged, the output is the model's."""
    model, x = network(name)
    calls = netsmith.trace(model, x).calls
    stops = {i: call.name for i, call in enumerate(calls)}
    with transparent_functional():
        forward = Forward(model, x, stops)
        seen, answer = [], None
        while (stop := forward.resume(answer)) is not None:
            seen.append((stop.index, stop.name))
            answer = stop.run()
    assert seen == list(stops.items())
    assert torch.equal(forward.output, model(x))


def test_an_answer_replaces_the_calls_result() -> None:
    model, x = network("mlp")
    stops = linear_stops(model, x)
    with transparent_functional():
        forward = Forward(model, x, stops)
        first = forward.resume()
        assert first is not None and first.args[1] is model[0].weight
        second = forward.resume(torch.ones(4, 16))
        assert second is not None and torch.equal(second.args[0], torch.ones(4, 16))
        assert forward.resume(second.run()) is not None
        assert forward.resume(torch.zeros(4, 3)) is None
    assert torch.equal(forward.output, torch.zeros(4, 3))


def test_forwards_go_in_step() -> None:
    model, _ = network("mlp")
    batches = [torch.randn(n, 6) for n in (1, 2, 3)]
    stops = linear_stops(model, batches[0])
    with transparent_functional():
        forwards = [Forward(model, x, stops) for x in batches]
        answers: list = [None] * 3
        for _ in stops:
            met = [forward.resume(answer) for forward, answer in zip(forwards, answers, strict=True)]
            assert len({stop.index for stop in met if stop}) == 1
            answers = [stop.run() for stop in met if stop]
        assert [forward.resume(answer) for forward, answer in zip(forwards, answers, strict=True)] == [None] * 3
    for x, forward in zip(batches, forwards, strict=True):
        assert torch.equal(forward.output, model(x))


def test_no_gradients_are_kept() -> None:
    model, x = network("mlp")
    forward = Forward(model, x, {})
    assert forward.resume() is None
    assert not forward.output.requires_grad


def test_abandoned_forwards_leave_no_thread() -> None:
    before = threading.active_count()
    model, x = network("mlp")
    forwards = [Forward(model, x, linear_stops(model, x)) for _ in range(5)]
    with transparent_functional():
        for forward in forwards[1:]:
            forward.resume()
    for forward in forwards:
        forward.abandon()
        forward.abandon()
    assert threading.active_count() == before


def test_what_forward_raises_says_which_batch() -> None:
    model, x = network("mlp")
    at_the_stop = Forward(model, torch.randn(4, 7), linear_stops(model, x))
    behind_it = Forward(model, x, linear_stops(model, x))
    with transparent_functional():
        stop = at_the_stop.resume()
        assert stop is not None
        with pytest.raises(
            EvidenceError, match=r"linear \(call 0\) raises on a batch of the data \(\(4, 7\) float32, "
        ):
            stop.run()
        assert behind_it.resume() is not None
        assert behind_it.resume(torch.ones(4, 15)) is not None
        unstopped = Forward(model, torch.randn(4, 7), {})
        with pytest.raises(
            EvidenceError,
            match=r"(?s)forward raises on a batch of the data \(\(4, 7\) float32\): Runtime.*like the example",
        ):
            unstopped.resume()
    at_the_stop.abandon()
    behind_it.abandon()


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        x = self.a(x)
        if float(x.sum()) > 0:
            x = torch.tanh(x)
        return self.b(x)


def test_another_path_than_with_the_example_inputs() -> None:
    torch.manual_seed(0)
    model = Branching()
    with torch.no_grad():
        model.a.weight.copy_(torch.eye(4))
        model.a.bias.zero_()
    stops = linear_stops(model, torch.ones(1, 4))
    with transparent_functional():
        forward = Forward(model, -torch.ones(1, 4), stops)
        stop = forward.resume()
        with pytest.raises(
            EvidenceError, match=r"took another path than with the example inputs: it ended after 3 calls"
        ):
            while stop is not None:
                stop = forward.resume(stop.run())


def test_stops_need_names_that_agree() -> None:
    forward = Forward(mlp(), torch.ones(1, 6), {1: "linear"})
    with transparent_functional(), pytest.raises(EvidenceError, match="call 1 is relu, was linear"):
        forward.resume()
