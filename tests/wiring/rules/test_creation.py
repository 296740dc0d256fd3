"""Tensors made from sizes follow the ints that they were made with; what reads values keeps them."""

from __future__ import annotations

from collections.abc import Callable

import torch

from wiring.rules.exercise import Case, exercise


def made(name: str) -> Callable:
    """a + new(sizes of a): the new tensor must follow."""

    def call(a: torch.Tensor) -> torch.Tensor:
        sizes = (a.shape[0], a.shape[1])
        home = a if name.startswith("new_") else torch
        more = (0.5,) if "full" in name else ()
        return a + getattr(home, name)(sizes, *more).fill_(0.5)

    return call


CASES = [
    Case(name, made(name), ((4, 6),), 2)
    for name in ("zeros", "ones", "empty", "full", "rand", "randn", "new_zeros", "new_ones", "new_full", "new_empty")
]
CASES += [
    Case("zeros", lambda a: a + torch.zeros(4, 6), ((4, 6),), 0, label="written in the code"),
    Case("zeros", lambda a: a + torch.zeros(a.shape[0], 6), ((4, 6),), 1, label="one of two"),
]
# of constants nothing follows: an axis that meets one stays
CASES += [
    Case("arange", lambda a: a + torch.arange(6), ((4, 6),), 1),
    Case("linspace", lambda a: a + torch.linspace(0, 1, 6), ((4, 6),), 1),
    Case("logspace", lambda a: a + torch.logspace(0, 1, 6), ((4, 6),), 1),
    Case("tensor", lambda a: a + torch.tensor([1.0] * 6), ((4, 6),), 1),
    Case("as_tensor", lambda a: a + torch.as_tensor([1.0] * 6), ((4, 6),), 1),
    Case("new_tensor", lambda a: a + a.new_tensor([1.0] * 6), ((4, 6),), 0),
    Case("eye", lambda a: a @ torch.eye(6, dtype=a.dtype), ((4, 6),), 1),
    Case("randperm", lambda a: a + torch.randperm(6) * 0, ((4, 6),), 1),
    Case("randint", lambda a: a + torch.randint(1, 2, (6,)), ((4, 6),), 1),
    Case("hann_window", lambda a: a + torch.hann_window(6), ((4, 6),), 1),
    Case("scalar_tensor", lambda a: a + torch.scalar_tensor(2.0), ((4, 6),), 2),
    Case("meshgrid", lambda a, b: torch.meshgrid(a, b, indexing="ij"), ((4,), (6,)), 0),
    Case("diff", lambda a: a.diff(), ((4, 6),), 0),
    Case("searchsorted", lambda a, b: torch.searchsorted(a.cumsum(0), b), ((6,), (4,)), 0),
    Case("bucketize", lambda a: torch.bucketize(a, torch.tensor([0.0, 1.0], dtype=a.dtype)), ((4, 6),), 0),
    Case("isin", lambda a: torch.isin(a, torch.tensor([0.5], dtype=a.dtype)), ((4, 6),), 0),
    Case("tril_indices", lambda a: a + torch.tril_indices(3, 3).sum(0), ((4, 6),), 1),
    Case("triu_indices", lambda a: a + torch.triu_indices(3, 3).sum(0), ((4, 6),), 1),
    Case("cartesian_prod", lambda a, b: torch.cartesian_prod(a, b), ((4,), (6,)), 0),
    Case("combinations", lambda a: torch.combinations(a), ((4,),), 0),
    Case("argwhere", lambda a: torch.argwhere(a == a), ((4, 6),), 0),
    Case("histc", lambda a: torch.histc(a, 5), ((4, 6),), 0),
]


def test_creation() -> None:
    exercise(CASES)
