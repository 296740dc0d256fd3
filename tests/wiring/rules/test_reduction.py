"""Reductions: units of the reduced dimension may go, the others pass."""

from __future__ import annotations

import torch

from wiring.rules.exercise import Case, exercise

STATISTICS = "mean amax amin var std logsumexp nanmean"
SUMS = "sum nansum any count_nonzero"
PRODUCTS = "prod all"  # removing a unit is not zeroing it
NAMES_BY_POSITION = "argmax argmin median nanmedian mode"


def over(name: str, *dims: int) -> object:
    return lambda x: getattr(x if hasattr(x, name) else torch, name)(*(() if hasattr(x, name) else (x,)), *dims)


CASES = [Case(name, over(name, 1), ((4, 6),), 2) for name in (STATISTICS + " " + SUMS).split()]
CASES += [
    Case(name, over(name), ((4, 6),), 2, label="over everything") for name in ("mean", "sum", "var", "amax", "norm")
]
CASES += [Case(name, over(name, 1), ((4, 6),), 1) for name in (NAMES_BY_POSITION + " " + PRODUCTS).split()]
CASES += [
    Case("mean", lambda x: x.mean((0, 2), keepdim=True), ((4, 6, 8),), 3, label="kept"),
    Case("sum", lambda x: x.sum(dim=-1), ((4, 6, 8),), 3, label="by keyword"),
    Case("norm", lambda x: torch.norm(x, dim=1), ((4, 6),), 2),
    Case("linalg_vector_norm", lambda x: torch.linalg.vector_norm(x, 2, 1), ((4, 6),), 2, label="by position"),
    Case("linalg_vector_norm", lambda x: torch.linalg.vector_norm(x, dim=0), ((4, 6),), 2),
    Case("aminmax", lambda x: torch.aminmax(x, dim=1), ((4, 6),), 2),
    Case("var_mean", lambda x: torch.var_mean(x, 1), ((4, 6),), 2),
    Case("std_mean", lambda x: torch.std_mean(x, 1), ((4, 6),), 2),
    Case("max", lambda x: x.max(1)[0], ((4, 6),), 2, label="values"),
    Case("max", lambda x: x.max(1), ((4, 6),), 1, label="positions too"),
    Case("min", lambda x: x.min(dim=0, keepdim=True).indices, ((4, 6),), 1, label="positions"),
    Case("topk", lambda x: x.topk(3, 1), ((4, 6),), 1),
    Case("sort", lambda x: x.sort(), ((4, 6),), 1),
    Case("sort", lambda x: x.sort(dim=0), ((4, 6),), 1, label="by keyword"),
    Case("argsort", lambda x: x.argsort(1), ((4, 6),), 1),
    Case("kthvalue", lambda x: x.kthvalue(2, 1), ((4, 6),), 1),
]


def test_reductions() -> None:
    exercise(CASES)
