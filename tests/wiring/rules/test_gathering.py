"""Positions held in tensors: what is read or written by position stays, the rest passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from wiring.rules.exercise import Case, exercise

WHERE = torch.tensor([0, 3, 1])


def positions(like: torch.Tensor) -> torch.Tensor:
    """Positions of the shape (n, 3), n following a tensor."""
    return WHERE + torch.zeros_like(like[:, :1]).long()


def rows(like: torch.Tensor) -> torch.Tensor:
    """A mask of the shape (n, 1) that picks every other row; n follows a tensor."""
    return (torch.arange(like.shape[0]) % 2 == 0).unsqueeze(1)


def written(name: str, *more: Any) -> Callable:
    return lambda a, b: getattr(a, name)(1, WHERE, b, *more)


CASES = [
    Case("gather", lambda a: a.gather(1, positions(a)), ((4, 6),), 1),
    Case("take_along_dim", lambda a: a.take_along_dim(positions(a), 1), ((4, 6),), 1),
    Case("gather", lambda a: a.gather(1, torch.zeros(2, 3).long()), ((4, 6),), 0, label="a part"),
    Case("scatter", lambda a, b: a.scatter(1, positions(a), b), ((4, 6), (4, 3)), 1),
    Case("scatter_add", lambda a, b: a.scatter_add(1, positions(a), b), ((4, 6), (4, 3)), 1),
    Case("scatter_reduce", lambda a, b: a.scatter_reduce(1, positions(a), b, "amax"), ((4, 6), (4, 3)), 1),
    Case("index_add", written("index_add"), ((4, 6), (4, 3)), 1),
    Case("index_add", lambda a, b: a.index_add_(1, WHERE, b), ((4, 6), (4, 3)), 1, label="in place"),
    Case("index_copy", written("index_copy"), ((4, 6), (4, 3)), 1),
    Case("index_reduce", written("index_reduce", "amax"), ((4, 6), (4, 3)), 1),
    Case("index_fill", lambda a: a.index_fill(1, WHERE, 0.5), ((4, 6),), 1),
    Case("index_put", lambda a, b: a.index_put((WHERE,), b), ((4, 6), (6,)), 1),
    Case("masked_select", lambda a: a.masked_select(torch.tensor([True, False] * 3)), ((4, 6),), 0),
    Case(
        "masked_scatter",
        lambda a, b: a.masked_scatter(torch.tensor([True, False] * 3), b),
        ((4, 6), (12,)),
        0,
    ),
    Case("masked_scatter", lambda a, b: a.masked_scatter(rows(a).expand_as(a), b), ((4, 6), (4, 6)), 1, label="rows"),
    Case("masked_scatter", lambda a, b: a.masked_scatter(rows(a), b), ((4, 6), (2, 6)), 1, label="broadcast"),
    Case("index_put", lambda a, b: a.index_put((rows(a)[:, 0],), b), ((4, 6), (2, 6)), 1, label="a mask"),
    Case("take", lambda a: a.take(WHERE), ((4, 6),), 0),
]


@pytest.mark.filterwarnings("ignore:index_reduce")  # in beta, says torch
def test_gathering() -> None:
    exercise(CASES)
