"""Zeros that are held through training."""

from __future__ import annotations

import torch

import netsmith
from netsmith.plans import plan_sparsity
from netsmith.surgery.zeros import count_zeros, keeping, masks
from small_networks import network


def test_zeros_stay_through_training() -> None:
    model, x = network("mlp")
    plan = plan_sparsity(netsmith.trace(model, x), share=0.5)
    sparse = netsmith.apply(model, plan)
    found = masks(sparse, plan)
    assert {n: m.tolist() for n, m in masks(sparse).items()} == {n: m.tolist() for n, m in found.items()}
    keep = keeping(sparse, found)
    optimizer = torch.optim.AdamW(sparse.parameters(), lr=0.1)
    for _ in range(3):
        sparse(x).square().sum().backward()
        optimizer.step()
        assert count_zeros(sparse)[0] < 143
        keep()
        assert count_zeros(sparse) == (143, 286)
    for name, zeros in found.items():
        assert not sparse.get_parameter(name)[zeros].any()


def test_tied_weights_count_once() -> None:
    model, _ = network("tied")
    assert count_zeros(model) == (0, 20 * 8 + 8 * 10)
