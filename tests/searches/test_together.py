"""Axes that one number rules change together or not at all."""

from __future__ import annotations

import torch
from torch import nn

import netsmith
from netsmith.plans.sizing import changeable_axes
from netsmith.searches.together import axes_together
from small_networks import network


class OneWidth(nn.Module):
    """Two layers whose widths are one attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.width = 8
        self.a, self.b, self.c = nn.Linear(4, 8), nn.Linear(4, 8), nn.Linear(16, 3)

    def forward(self, x):
        left = self.a(x).reshape(-1, self.width)
        right = self.b(x).reshape(-1, self.width)
        return self.c(torch.cat([left, right], 1))


def test_axes_of_their_own() -> None:
    model, x = network("concatenated")
    wiring = netsmith.trace(model, x)
    names = changeable_axes(wiring)
    sets, left = axes_together(wiring, names, None)
    assert sets == [(name,) for name in names] and left == {}


def test_one_attribute_for_two_axes() -> None:
    wiring = netsmith.trace(OneWidth(), torch.randn(2, 4))
    sets, left = axes_together(wiring, changeable_axes(wiring), None)
    assert [set(s) for s in sets] == [{"a.weight:0", "b.weight:0"}] and left == {}
