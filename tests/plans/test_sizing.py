"""Axis sizes and attribute values that satisfy what a forward demands."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import netsmith
from netsmith.plans.sizing import changeable_axes, solve
from netsmith.wiring.proof import replay
from small_networks import NETWORKS, network


@cache
def wired(name: str):
    return netsmith.trace(*network(name))


def test_full_size_is_a_solution() -> None:
    for name in NETWORKS:
        wiring = wired(name)
        sizing = solve(wiring, {})
        assert sizing.sizes == wiring.sizes
        assert sizing.attributes == wiring.attributes


def test_free_targets_are_met_exactly() -> None:
    sizing = solve(wired("residual"), {"stem.weight:0": 3, "conv1.weight:0": 7})
    assert (sizing.sizes["stem.weight:0"], sizing.sizes["conv1.weight:0"]) == (3, 7)


def test_an_attribute_follows_its_axis() -> None:
    sizing = solve(wired("attention"), {"qkv.weight:0.2": 2})
    assert sizing.attributes[":head_dim"] == 2
    assert sizing.attributes[":num_heads"] == 4
    heads = solve(wired("attention"), {"qkv.weight:0.1": 3})
    assert heads.attributes[":num_heads"] == 3


def test_two_axes_that_share_an_attribute_keep_one_size() -> None:
    sizing = solve(wired("recurrent"), {"lstm.weight_ih_l0:0.1": 3, "lstm.weight_ih_l1:0.1": 5})
    assert sizing.sizes["lstm.weight_ih_l0:0.1"] == sizing.sizes["lstm.weight_ih_l1:0.1"]
    assert replay(wired("recurrent"), sizing.sizes, sizing.attributes) is None


def test_groups_of_a_depthwise_convolution_follow_the_channels() -> None:
    sizing = solve(wired("concatenated"), {"grouped.weight:0.1": 4})
    assert sizing.attributes["depthwise:groups"] == 8


@pytest.mark.parametrize("name", NETWORKS)
def test_any_targets_give_sizes_that_run_as_promised(name: str) -> None:
    wiring = wired(name)
    names = changeable_axes(wiring)

    @settings(max_examples=5, deadline=None, derandomize=True)
    @given(st.fixed_dictionaries({n: st.integers(1, wiring.sizes[n]) for n in names}))
    def check(targets: dict[str, int]) -> None:
        sizing = solve(wiring, targets)
        assert all(1 <= sizing.sizes[n] <= wiring.sizes[n] for n in wiring.sizes)
        assert replay(wiring, sizing.sizes, sizing.attributes) is None

    check()


def test_of_a_product_one_factor_may_change() -> None:
    names = changeable_axes(wired("attention"))
    assert "qkv.weight:0.2" in names and "qkv.weight:0.1" not in names  # the width of heads, not their number
    assert "qkv.weight:0.1" in changeable_axes(wired("attention"), excluded=["qkv.weight:0.2"])


def test_frozen_and_excluded_axes_and_axes_of_buffers_alone_do_not_change() -> None:
    wiring = wired("residual")
    assert changeable_axes(wiring) == ["stem.weight:0", "conv1.weight:0"]
    assert changeable_axes(wiring, ["stem.weight:0"]) == ["conv1.weight:0"]
    plain = netsmith.trace(nn.Sequential(nn.BatchNorm1d(4, affine=False)), torch.randn(2, 4))
    assert changeable_axes(plain) == []
