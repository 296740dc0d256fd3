"""One row per unit, whatever the layout."""

from __future__ import annotations

import torch

import netsmith
from netsmith.evidence import Weights
from small_networks import network


def rows(name: str, axis: str) -> dict[str, torch.Tensor]:
    wiring = netsmith.trace(*network(name))
    found = wiring.axis[axis]
    names = [f"{m.tensor}:{m.dim}" for m in found.members if m.trainable]
    return dict(zip(names, Weights(wiring.tensors).per_unit(found), strict=True))


def test_a_plain_axis() -> None:
    model, _ = network("mlp")
    found = rows("mlp", "0.weight:0")
    assert found.keys() == {"0.weight:0", "0.bias:0", "2.weight:1"}
    assert torch.equal(found["0.weight:0"], model[0].weight)
    assert torch.equal(found["0.bias:0"], model[0].bias[:, None])
    assert torch.equal(found["2.weight:1"], model[2].weight.T)


def test_one_factor_of_a_product() -> None:
    model, _ = network("attention")
    heads = rows("attention", "qkv.weight:0.1")["qkv.weight:0"]
    assert torch.equal(heads, model.qkv.weight.reshape(3, 4, 4, 12).transpose(0, 1).reshape(4, -1))
    width = rows("attention", "qkv.weight:0.2")["proj.weight:1"]
    by_hand = model.proj.weight.reshape(12, 4, 4).permute(2, 0, 1).flatten(1)
    assert torch.equal(width.sort(1).values, by_hand.sort(1).values)  # the order within a row is free


def test_parts_of_a_concatenation() -> None:
    model, _ = network("concatenated")
    right = rows("concatenated", "right.weight:0")
    assert right.keys() == {"right.weight:0", "right.bias:0", "mix.weight:1"}
    assert torch.equal(right["mix.weight:1"], model.mix.weight[:, 6:, 0, 0].T)


def test_groups_and_flattened_positions() -> None:
    model, _ = network("concatenated")
    found = rows("concatenated", "grouped.weight:0.1")
    assert torch.equal(found["grouped.bias:0"], model.grouped.bias.reshape(2, 6).T)
    fc = model.fc.weight.reshape(5, 2, 6, 16)
    assert torch.equal(found["fc.weight:1"].sort(1).values, fc.permute(2, 0, 1, 3).flatten(1).sort(1).values)


def test_buffers_are_left_out() -> None:
    assert not any("running" in name for name in rows("residual", "conv1.weight:0"))
