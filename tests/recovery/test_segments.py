"""Stretches end where one tensor carries all that has changed, and hold every layer that can be fitted once."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

import netsmith
from netsmith.recovery.refits import find_refits
from netsmith.recovery.segments import find_segments
from netsmith.zoo import cifar_resnet
from small_networks import plan_keeping


def test_a_residual_network_is_split_at_the_rectified_additions() -> None:
    model = cifar_resnet(20).eval()
    wiring = netsmith.trace(model, torch.randn(1, 3, 32, 32))
    inner = {f"layer{s}.{b}.conv1.weight:0": tuple(range(8)) for s in (1, 2, 3) for b in range(3)}
    segments = find_segments(wiring, plan_keeping(wiring, inner), fewest=2)
    names = [[r.weight for r in s.refits] for s in segments]
    blocks = [[f"layer{s}.{b}.conv1.weight", f"layer{s}.{b}.conv2.weight"] for s in (1, 2, 3) for b in range(3)]
    assert names == [*blocks[:-1], [*blocks[-1], "linear.weight"]]  # the last layer does not stand alone
    assert [wiring.calls[s.end].name for s in segments[:-1]] == ["relu"] * 8
    assert segments[-1].end == wiring.output_origins[0].call


def test_a_plain_network_is_split_every_second_layer() -> None:
    layers = [m for i in range(6) for m in (nn.Conv2d(4 if i else 3, 4, 3, padding=1), nn.ReLU())]
    model = nn.Sequential(*layers).eval()
    wiring = netsmith.trace(model, torch.randn(1, 3, 8, 8))
    plan = plan_keeping(wiring, {f"{2 * i}.weight:0": (0, 1, 2) for i in range(5)})
    segments = find_segments(wiring, plan, fewest=2)
    assert [[r.weight for r in s.refits] for s in segments] == [
        ["0.weight", "2.weight"],
        ["4.weight", "6.weight"],
        ["8.weight", "10.weight"],
    ]
    assert [wiring.calls[s.end].name for s in segments] == ["relu"] * 3


class Dense(nn.Module):
    """Everything is concatenated to the end."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = nn.Linear(4, 6), nn.Linear(10, 6), nn.Linear(16, 6), nn.Linear(22, 3)

    def forward(self, x):
        for layer in (self.a, self.b, self.c):
            x = torch.cat([x, F.relu(layer(x))], 1)
        return self.d(x)


def test_a_concatenation_that_carries_all_is_a_point_to_split_at() -> None:
    model = Dense().eval()
    wiring = netsmith.trace(model, torch.randn(2, 4))
    plan = plan_keeping(wiring, {"a.weight:0": (0, 1, 2), "b.weight:0": (3, 4, 5)})
    segments = find_segments(wiring, plan, fewest=2)
    assert [[r.weight for r in s.refits] for s in segments] == [["a.weight", "b.weight"], ["c.weight", "d.weight"]]
    assert wiring.calls[segments[0].end].name == "cat"


def test_makers_are_layers_that_only_lose_outputs() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).eval()
    wiring = netsmith.trace(model, torch.randn(2, 4))
    plan = plan_keeping(wiring, {"0.weight:0": (0, 1)})
    assert [r.weight for r in find_refits(wiring, plan)] == ["2.weight"]
    assert [r.weight for r in find_refits(wiring, plan, makers=True)] == ["0.weight", "2.weight"]
    assert find_segments(wiring, plan_keeping(wiring, {})) == ()


def test_the_largest_of_several_points_and_of_these_the_last_ends_a_stretch() -> None:
    model = nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        *(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)),
    ).eval()
    wiring = netsmith.trace(model, torch.randn(1, 3, 8, 8))
    first, second = find_segments(wiring, plan_keeping(wiring, {"0.weight:0": (0, 1), "6.weight:0": (0, 1)}), fewest=2)
    assert wiring.calls[first.end].name == "relu"  # not the convolution in front, not the average behind
    assert [r.weight for r in second.refits] == ["6.weight", "8.weight"]
