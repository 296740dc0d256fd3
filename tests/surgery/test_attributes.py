"""Integers beside the weights: what forward reads, what ``repr`` shows, what users' code looks at."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import netsmith
from netsmith.errors import PlanError
from small_networks import NETWORKS, network, plan_keeping


def halved(model: nn.Module, x: torch.Tensor, keep: float = 0.5) -> nn.Module:
    plan = netsmith.plan_removal(netsmith.trace(model, x), keep=keep)
    assert plan.edits
    edited = netsmith.apply(model, plan)
    assert netsmith.verify(model, edited, plan, x), netsmith.verify(model, edited, plan, x)
    return edited


@pytest.mark.parametrize("name", NETWORKS)
def test_what_repr_shows_is_what_the_weights_are(name: str) -> None:
    """Building every layer anew from its own repr gives parameters of the same shapes."""
    edited = halved(*network(name))
    built = 0
    for module in edited.modules():
        if next(module.children(), None) is None and next(module.parameters(), None) is not None:
            again = eval(re.sub(r"^", "nn.", repr(module)), {"nn": nn})  # noqa: S307
            assert {n: p.shape for n, p in again.named_parameters()} == {
                n: p.shape for n, p in module.named_parameters()
            }
            built += 1
    assert built >= 3


def test_convolutions_and_normalizations() -> None:
    edited = halved(*network("residual"))
    assert (edited.conv1.in_channels, edited.conv1.out_channels) == (4, 6)
    assert (edited.bn1.num_features, edited.norm.num_features) == (6, 4)
    assert (edited.fc.in_features, edited.fc.out_features) == (4, 5)


def test_groups() -> None:
    edited = halved(*network("concatenated"))
    assert (edited.grouped.groups, edited.grouped.in_channels, edited.grouped.out_channels) == (2, 4, 6)
    assert (edited.depthwise.groups, edited.depthwise.in_channels, edited.depthwise.out_channels) == (6, 6, 6)


@pytest.mark.parametrize("groups", [1, 4])
def test_transposed_convolutions_of_equal_width(groups: int) -> None:
    """(in, out) may not be mistaken for (out, in) where both were 16 before."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 1), nn.ReLU(), nn.ConvTranspose2d(16, 16, 2, groups=groups), nn.ReLU(), nn.Conv2d(16, 2, 1)
    )
    x = torch.randn(1, 3, 4, 4)
    wiring = netsmith.trace(model, x)
    into = next(
        a
        for a in wiring.free_axes
        if "0.bias" in {m.tensor for m in a.members}
        and a.size in (16, 4)
        and (groups == 1 or not any(m.tensor == "2.bias" for m in a.members))
    )
    plan = plan_keeping(wiring, {into.name: tuple(range(into.size // 2))})
    edited = netsmith.apply(model, plan)
    assert (edited[2].in_channels, edited[2].out_channels) == (8, 16)
    assert edited[2].weight.shape == (8, 16 // groups, 2, 2)
    assert netsmith.verify(model, edited, plan, x)


def test_what_forward_reads() -> None:
    edited = halved(*network("attention"))
    assert (edited.num_heads, edited.head_dim) == (4, 2)
    assert edited.norm.normalized_shape == (6,)


def test_multi_head_attention() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.attn, self.head = nn.Linear(6, 16), nn.MultiheadAttention(16, 4), nn.Linear(16, 3)

        def forward(self, x):
            h = self.embed(x)
            return self.head(h + self.attn(h, h, h)[0])

    edited = halved(Net(), torch.randn(5, 2, 6))
    attn = edited.attn
    assert attn.embed_dim == attn.kdim == attn.vdim == attn.in_proj_weight.shape[1] == 8
    assert attn.out_proj.in_features == attn.out_proj.weight.shape[1]


def test_recurrent_layers_and_cells() -> None:
    edited = halved(*network("recurrent"))
    assert (edited.lstm.input_size, edited.lstm.hidden_size) == (3, 4)


def test_a_configuration_object_follows() -> None:
    class TinyConfig(SimpleNamespace):
        pass

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.config = TinyConfig(width=8, depth=1)
            self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 2)

        def forward(self, x):
            return self.b(self.a(x).view(-1, 2, self.config.width // 2).flatten(1))

    model = Net()
    edited = halved(model, torch.randn(3, 4))
    assert edited.config.width == edited.a.out_features == 4
    assert edited.config.depth == 1
    assert model.config.width == 8


def test_an_unrelated_number_of_equal_size_stays() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.epochs, self.sizes = nn.Linear(4, 8), nn.Linear(8, 2), 8, [8, 8]

        def forward(self, x):
            return self.b(self.a(x))

    edited = halved(Net(), torch.randn(3, 4))
    assert (edited.a.out_features, edited.b.in_features, edited.epochs, edited.sizes) == (4, 4, 8, [8, 8])


def test_prelu() -> None:
    edited = halved(nn.Sequential(nn.Linear(4, 8), nn.PReLU(8), nn.Linear(8, 2)), torch.randn(3, 4))
    assert edited[1].num_parameters == 4
    assert halved(nn.Sequential(nn.Linear(4, 8), nn.PReLU(), nn.Linear(8, 2)), torch.randn(3, 4))[1].num_parameters == 1


def test_an_attribute_that_is_not_there_is_refused() -> None:
    model, x = network("residual")
    plan = netsmith.plan_removal(netsmith.trace(model, x), keep=0.5)
    for key, change in ((":no_such_width", (4, 2)), ("no.module:width", (4, 2)), (":no_such_scale", (0.5, 0.7))):
        wrong = replace(plan, attributes={**plan.attributes, key: change})
        with pytest.raises(PlanError, match=f"Residual has no attribute {key!r}, which the plan changes"):
            netsmith.apply(model, wrong)
