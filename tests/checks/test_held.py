"""Removed units that a bias along another axis would bring back are held at zero."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

import netsmith
from netsmith.checks.held import holding_zeros
from netsmith.wiring.trace import as_run


class Mixed(nn.Module):
    """Token mixing with biases, then a normalization over the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.first, self.second = nn.Linear(6, 16), nn.Linear(5, 8), nn.Linear(8, 5)
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = x + self.second(F.gelu(self.first(x.transpose(1, 2)))).transpose(1, 2)
        return self.head(self.norm(x))


def pruned() -> tuple[nn.Module, nn.Module, netsmith.Plan, Tensor]:
    torch.manual_seed(0)
    model, x = Mixed().eval(), torch.randn(2, 5, 6)
    plan = netsmith.plan_removal(netsmith.trace(model, x), keep=0.5)
    return model, netsmith.apply(model, plan), plan, x


def test_token_mixing_is_proved() -> None:
    model, small, plan, x = pruned()
    assert {edit.axis for edit in plan.edits} == {"embed.weight:0", "first.weight:0"}
    verdict = netsmith.verify(model, small, plan, x)
    assert verdict.ok
    assert {check.name: check.status for check in verdict.checks}["outputs"] == "exact up to statistics"


def test_misaligned_units_are_still_caught() -> None:
    model, small, plan, x = pruned()
    with torch.no_grad():
        small.head.weight.copy_(small.head.weight.flip(1))
    refitted = plan.with_refitted(["head.weight"])
    assert netsmith.verify(model, small, refitted, x).ok  # its weights are excused, its structure is right
    rows = model.embed.weight.clone()
    wrong = netsmith.apply(model, plan)
    wrong.forward = lambda x: Mixed.forward(wrong, x.flip(-1))  # type: ignore[method-assign]
    assert torch.equal(model.embed.weight, rows)
    assert not netsmith.verify(model, wrong, plan, x).ok


def test_nothing_is_held_where_the_plan_was_made_from_another_reading() -> None:
    model, _, plan, x = pruned()
    assert holding_zeros(model, plan, x) is not None
    other = nn.Sequential(nn.Linear(6, 16), nn.Linear(16, 3))
    assert holding_zeros(other, plan, x) is None


class ChecksItsInput(nn.Module):
    """As transformers does: a look at the values that is left out on fake tensors; and a normalization by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)
        self.scale = nn.Parameter(torch.rand(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not isinstance(x, FakeTensor) and 7.0 in x[:, [0, -1]]:
            raise ValueError("padding")
        h = self.a(x)
        centred = h - h.mean(-1, keepdim=True)
        out: torch.Tensor = self.b(centred * torch.rsqrt(centred.pow(2).mean(-1, keepdim=True) + 1e-6) * self.scale)
        return out


def test_calls_that_fake_tensors_do_not_see_are_counted() -> None:
    model, x = ChecksItsInput().eval(), torch.randn(4, 6)
    wiring = netsmith.trace(model, x)
    assert len(as_run(wiring, x).calls) > len(wiring.calls) and not as_run(wiring, x).fake
    plan = netsmith.plan_removal(wiring, keep=0.5)
    small = netsmith.apply(model, plan)
    verdict = netsmith.verify(model, small, plan, x)
    assert verdict and verdict.checks[3].status == "exact up to statistics", verdict


class WithTable(ChecksItsInput):
    """Its first forward puts a longer table in place of the one that the trace saw."""

    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Linear(3, 8, bias=False)
        self.register_buffer("table", torch.zeros(1, 3), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(self.table) != len(x):
            self.table = torch.linspace(0, 1, 3 * len(x)).reshape(len(x), 3)
        return super().forward(x) + self.b(self.places(self.table))


def test_axes_that_keep_their_size_may_be_called_otherwise_by_now() -> None:
    """The table's axis had another name before the first forward, and the model was thought to be another one."""
    model, x = WithTable().eval(), torch.randn(4, 6)
    plan = netsmith.plan_removal(netsmith.trace(model, x), keep=0.5)
    small = netsmith.apply(model, plan)
    verdict = netsmith.verify(model, small, plan, x)
    assert verdict and verdict.checks[3].status == "exact up to statistics", verdict
