"""Blocks of a stack that change the shape."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import netsmith
from block_networks import Narrowing, stacked


@pytest.mark.parametrize("size", [6, 7])
def test_the_first_block_of_a_stage_is_found(size: int) -> None:
    wiring = netsmith.trace(Narrowing().eval(), torch.randn(1, 3, size, size))
    assert [(t.name, t.kind, t.inputs, t.outputs, t.stride) for t in wiring.transitions] == [
        ("two.0", "Downsampling", 4, 8, 2)
    ]
    assert wiring.transitions[0].kept is None and wiring.parts["two.0"] is wiring.transitions[0]


def test_what_is_none() -> None:
    assert netsmith.trace(stacked(), torch.randn(1, 3, 6, 6)).transitions == ()
    plain = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 4, 1))  # no stack of residual blocks
    assert netsmith.trace(plain, torch.randn(1, 3, 6, 6)).transitions == ()
