"""Networks whose forward keeps results in their modules give what the same network without that habit gives."""

from __future__ import annotations

import copy

import torch
from torch import nn

import netsmith
from netsmith import Budget
from netsmith.evidence.apart import apart
from netsmith.recovery import compensate, refine
from netsmith.searches import measure_curves


class Block(nn.Module):
    def __init__(self, keeps: bool):
        super().__init__()
        self.wide, self.narrow, self.norm = (
            nn.Conv2d(8, 24, 3, padding=1),
            nn.Conv2d(24, 8, 3, padding=1),
            nn.BatchNorm2d(8),
        )
        self.keeps = keeps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.keeps:
            return x + self.norm(self.narrow(self.wide(x).relu()))
        self.shortcut = x
        out = self.norm(self.narrow(self.wide(x).relu()))
        return self.shortcut + out


def pair() -> tuple[nn.Module, nn.Module]:
    """The same network twice; the first keeps each shortcut in its block."""
    torch.manual_seed(0)
    stem, head = nn.Conv2d(3, 8, 3, padding=1), [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)]
    model = nn.Sequential(stem, Block(True), Block(True), *head).eval()
    plain = copy.deepcopy(model)
    for module in plain.modules():
        if isinstance(module, Block):
            module.keeps = False
    return model, plain


def test_evidence_and_repair_are_those_of_the_plain_network(threads: int) -> None:
    data = [torch.randn(16, 3, 12, 12, generator=torch.Generator().manual_seed(i)) for i in range(6)]
    found = []
    for model in pair():
        wiring = netsmith.trace(model, data[0][:1])
        curves = measure_curves(wiring, data)
        plan = netsmith.plan_removal(wiring, keep=0.5)
        done = refine(wiring, compensate(wiring, plan, data), data, steps=3)
        found.append((curves.curves, list(done.model.parameters())))
    assert found[0][0] == found[1][0]
    assert all(torch.equal(a, b) for a, b in zip(found[0][1], found[1][1], strict=True))


def test_shrinking_is_that_of_the_plain_network(threads: int) -> None:
    data = [torch.randn(16, 3, 12, 12, generator=torch.Generator().manual_seed(i)) for i in range(6)]
    first, second = (netsmith.shrink(m, data[0][:1], budget=Budget(macs=0.6), data=data) for m in pair())
    assert first.plan == second.plan
    with torch.no_grad():
        assert torch.equal(first.model(data[0]), second.model(data[0]))


def test_only_the_modules_are_copied() -> None:
    model, plain = pair()
    x = torch.randn(2, 3, 12, 12)
    mine = apart(netsmith.trace(model, x), model)
    assert mine is not model
    assert [id(t) for t in mine.state_dict(keep_vars=True).values()] == [
        id(t) for t in model.state_dict(keep_vars=True).values()
    ]
    assert apart(netsmith.trace(plain, x), plain) is plain
