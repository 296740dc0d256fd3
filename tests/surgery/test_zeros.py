"""Zeros are counted once, whoever shares them."""

from __future__ import annotations

import netsmith
from netsmith.plans import plan_sparsity
from netsmith.surgery.zeros import count_zeros
from small_networks import network


def test_tied_weights_count_once() -> None:
    model, _ = network("tied")
    assert count_zeros(model) == (0, 20 * 8 + 8 * 10)


def test_zeros_of_a_plan_are_counted() -> None:
    model, x = network("mlp")
    sparse = netsmith.apply(model, plan_sparsity(netsmith.trace(model, x), share=0.5))
    assert count_zeros(sparse) == (143, 286)
