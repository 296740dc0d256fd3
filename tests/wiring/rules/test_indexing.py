"""Slices, single units, index tensors."""

from __future__ import annotations

import torch

from wiring.rules.exercise import Case, exercise

CASES = [
    Case("__getitem__", lambda a: a[:, None], ((4, 6),), 2, label="None"),
    Case("__getitem__", lambda a: a[0], ((4, 6),), 2, label="first"),
    Case("__getitem__", lambda a: a[..., -1], ((4, 6),), 2, label="last"),
    Case("__getitem__", lambda a: a[:, 2], ((4, 6),), 1, label="one in the middle"),
    Case("__getitem__", lambda a: a[:, ::2], ((4, 12),), 2, label="every second"),
    Case("__getitem__", lambda a: a[:, 1::3], ((4, 12),), 2, label="every third"),
    Case("__getitem__", lambda a: a[:, 1:-1:2], ((4, 12),), 1, label="a stretch in steps"),
    Case("__getitem__", lambda a: a[:, : a.shape[1] // 2], ((4, 12),), 3, label="half"),
    Case("__getitem__", lambda a: a[:, 4:], ((4, 12),), 2, label="written in the code"),
    Case("__getitem__", lambda a: a[:, 2:2], ((4, 12),), 2, label="empty"),
    Case("__getitem__", lambda a: a[:, torch.tensor([0, 3])], ((4, 6),), 1, label="tensor"),
    Case("__getitem__", lambda a: a[torch.tensor([0, 3]), :, torch.tensor([1, 1])], ((4, 6, 8),), 1, label="tensors"),
    Case("__getitem__", lambda a: a[[0, 2]], ((4, 6),), 1, label="list"),
    Case("narrow", lambda a, b: a.narrow(1, 0, b.shape[0]), ((4, 12), (6,)), 4),
    Case("select", lambda a: a.select(1, 0), ((4, 6),), 2, label="first"),
    Case("select", lambda a: a.select(1, 3), ((4, 6),), 1),
    Case("index_select", lambda a: a.index_select(1, torch.tensor([0, 3])), ((4, 6),), 1),
    Case("tril", lambda a: a.tril(), ((4, 6, 6),), 1),
    Case("triu", lambda a: torch.triu(a, 1), ((4, 6, 6),), 1),
]


def test_indexing() -> None:
    exercise(CASES)
