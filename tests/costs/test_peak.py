"""Peak memory: by hand, and against torch's own allocator."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

import netsmith
from netsmith.costs import measure, predict
from netsmith.costs.peak import observed_peak
from netsmith.wiring.lifetimes import Held, Lifetimes
from small_networks import NETWORKS, network


def allocated(model: nn.Module, x: Tensor) -> int:
    """Bytes that torch's allocator gave out at most during a call, by its own account."""
    with torch.inference_mode():
        model(x)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watching:
            out = model(x)
    del out
    events = [event for event in watching.profiler.kineto_results.events() if event.name() == "[memory]"]
    return max(itertools.accumulate(event.nbytes() for event in sorted(events, key=lambda e: e.start_ns())))


def test_by_hand() -> None:
    model = nn.Sequential(nn.Linear(10, 100), nn.ReLU(), nn.Linear(100, 20))
    cost = measure(model, torch.randn(4, 10))
    # weights, the input, and during ReLU what it reads and what it makes
    assert cost.peak_bytes == cost.bytes + 4 * (4 * 10 + 2 * 4 * 100)
    assert measure(model, torch.randn(8, 10)).peak_bytes == cost.bytes + 4 * (8 * 10 + 2 * 8 * 100)


def test_the_fullest_moment_counts() -> None:
    spans = (Held(0, 0, 2, 10), Held(1, 0, 1, 5), Held(3, 0, 3, 12))
    assert observed_peak(Lifetimes(spans, 3, 4), stored=100) == 100 + 3 + 15
    assert observed_peak(Lifetimes((), 3, 0), stored=100) == 103


@pytest.mark.parametrize("name", ["mlp", "attention", "tied"])
def test_it_is_what_the_allocator_gives_out(name: str) -> None:
    model, x = network(name)
    cost = measure(model, x)
    assert cost.peak_bytes == cost.bytes + x.numel() * x.element_size() + allocated(model, x)


@pytest.mark.parametrize("name", ["residual", "concatenated", "recurrent"])
def test_what_kernels_borrow_is_not_counted(name: str) -> None:
    model, x = network(name)
    cost = measure(model, x)
    counted = cost.peak_bytes - cost.bytes - x.numel() * x.element_size()
    assert 0 < counted <= allocated(model, x)


@pytest.mark.parametrize("name", NETWORKS)
def test_more_examples_take_more_in_proportion(name: str) -> None:
    model, x = network(name)
    one, two = measure(model, x), measure(model, torch.cat([x, x]))
    assert two.peak_bytes - two.bytes == 2 * (one.peak_bytes - one.bytes)


def test_on_meta_and_in_half_precision() -> None:
    whole = measure(nn.Linear(64, 64).to("meta"), torch.randn(2, 64, device="meta"))
    half = measure(nn.Linear(64, 64).half(), torch.randn(2, 64).half())
    assert whole.peak_bytes == 2 * half.peak_bytes


def test_where_forward_goes_another_way_each_time_it_is_not_known() -> None:
    class Fickle(nn.Module):
        times = itertools.count()

        def forward(self, x: Tensor) -> Tensor:
            x = x * float(x.sum() > 0)
            return x + 1 if next(self.times) % 2 else x

    wiring = netsmith.trace(Fickle(), torch.ones(1, 3))
    found = [predict(wiring, wiring.sizes).peak_bytes]
    wiring = netsmith.trace(Fickle(), torch.ones(1, 3))
    next(Fickle.times)
    found.append(predict(wiring, wiring.sizes).peak_bytes)
    assert None in found
