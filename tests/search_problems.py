"""A small network with a shortcut, data for it, and searches over it that take a moment."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from netsmith.searches.candidate import Candidate
from netsmith.searches.curves import Curve, Curves
from netsmith.searches.problem import Problem
from netsmith.searches.space import Space, find_menus
from netsmith.searches.structure import Structure
from netsmith.wiring import trace


class Block(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.wide, self.back = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.back(self.wide(x).relu())


class Blocks(nn.Module):
    """Three residual blocks on 8 features; their inner widths are 16, and a stem and a head beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(4, 8), nn.Linear(8, 3)
        self.blocks = nn.Sequential(*(Block(8, 16) for _ in range(3)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.stem(x)).relu())


def task() -> tuple[nn.Module, torch.Tensor, list[tuple[torch.Tensor, torch.Tensor]]]:
    """A model, example inputs, and labelled batches."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Blocks().eval()
    generator = torch.Generator().manual_seed(1)
    data = [(torch.randn(16, 4, generator=generator), torch.arange(16) % 3) for _ in range(5)]
    return model, data[0][0][:2], data


def problem(space: Space | None = None, shares: Sequence[float] = (0.5,)) -> Problem:
    """A problem whose curves are made up: errors grow as widths fall, in the later blocks faster."""
    model, x, _ = task()
    wiring = trace(model, x)
    menus = find_menus(wiring, space or Space(steps=8))
    macs = sum(part.cost(wiring.sizes).macs for part in Problem(wiring, menus, ()).view(()).parts)
    curves = []
    for place, menu in enumerate(menus.widths, start=1):
        curves.append(Curve(menu.axes, {w: place * (1 - w / menu.full) ** 2 for w in menu.widths if w <= menu.full}))
    ranks = {axis: tuple(range(wiring.sizes[axis])) for menu in menus.widths for axis in menu.axes}
    influence = {block: 0.1 * place for place, block in enumerate(menus.blocks, start=1)}
    limits = tuple({"macs": share * macs} for share in shares)
    return Problem(wiring, menus, limits, Curves(wiring, tuple(curves), ranks), influence)


class Judged:
    """A judge whose verdicts are made up, but always the same; remembers what it was asked."""

    def __init__(self, problem: Problem, trials: int = 10_000) -> None:
        self.problem, self.left = problem, trials
        self.generations: list[tuple[int | None, list[Structure]]] = []

    def __call__(self, structures: Sequence[Structure], budget: int | None) -> list[Candidate]:
        asked = list(structures)[: self.left]
        self.left -= len(asked)
        self.generations.append((budget, asked))
        return [self.candidate(chosen, budget) for chosen in asked]

    def candidate(self, chosen: Structure, budget: int | None) -> Candidate:
        value = sum(width for _, width in chosen.widths) + int(hashlib.sha256(str(chosen).encode()).hexdigest()[:2], 16)
        cost = self.problem.cost(chosen)
        return Candidate(str(chosen), "test", chosen, cost, value=float(value), divergence=0.5, budget=budget)

    @property
    def asked(self) -> list[Structure]:
        return [chosen for _, generation in self.generations for chosen in generation]


def accuracy(model: nn.Module) -> Any:
    """A score at module level, so that it can be sent to other processes."""
    _, _, data = task()
    right = [float((model(x).argmax(1) == y).float().mean()) for x, y in data]
    return {"accuracy": sum(right) / len(right), "loss": 1 - sum(right) / len(right)}
