"""Random small networks, pruned at random, keep every promise; see ``networks`` and ``pruning``.

A seed that fails gets a test of its own below, with the cause in its name, once the cause is mended.
"""

from __future__ import annotations

import statistics

import pytest
import torch

from fuzz.networks import network
from fuzz.pruning import Pruned, pruned

SEEDS = range(100)
_DONE: dict[int, Pruned] = {}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_network(seed: int) -> None:
    _DONE[seed] = pruned(seed)


def test_the_fuzz_is_not_vacuous() -> None:
    """Something was removed from every network, much from most, and the second judge had a say in many."""
    done = [_DONE[seed] for seed in SEEDS if seed in _DONE] or [pruned(seed) for seed in range(12)]
    assert all(p.share < 1 for p in done)
    assert statistics.median(p.share for p in done) < 0.6
    assert sum(p.compared for p in done) > len(done) / 5


def test_a_seed_makes_one_network() -> None:
    (a, x), (b, y) = network(3), network(3)
    assert str(a) == str(b) and torch.equal(x, y)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("seed", [131, 205, 328])
def test_biases_of_mixed_tokens_reach_removed_channels(seed: int) -> None:
    """A token-mixing layer gives channels whose weights are zero a value, and the next normalization counts it."""
    assert pruned(seed).statuses["outputs"] == "exact up to statistics"


def test_keys_meet_queries_before_they_meet_weights() -> None:
    """Zeroing the consumers of a head's width is not enough where q·k is scaled by hand."""
    assert pruned(142).compared
