"""Concatenations and cuts."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from wiring.rules.exercise import Case, exercise

CASES = [
    Case("cat", lambda a, b: torch.cat([a, b], 1), ((4, 6), (4, 8)), 3),
    Case("cat", lambda a, b, c: torch.cat((a, b, c), dim=-1), ((4, 6), (4, 1), (4, 8)), 3, label="a single unit"),
    Case("cat", lambda a: torch.cat([a, a], 0), ((4, 6),), 2, label="twice the same"),
    Case("cat", lambda a, b: torch.cat([torch.cat([a, b], 1), a], 1), ((4, 6), (4, 8)), 3, label="nested"),
    Case("concat", lambda a, b: torch.concat([a, b]), ((4, 6), (8, 6)), 3),
    Case("concatenate", lambda a, b: torch.concatenate([a, b], axis=1), ((4, 6), (4, 8)), 3),
    Case("hstack", lambda a, b: torch.hstack([a, b]), ((4, 6), (4, 8)), 3),
    Case("hstack", lambda a, b: torch.hstack([a, b]), ((6,), (8,)), 2, label="vectors"),
    Case("stack", lambda a, b: torch.stack([a, b], -1), ((4, 6), (4, 6)), 2),
    Case("unbind", lambda a: a.unbind(1), ((4, 6),), 1),
    Case("unbind", lambda a: list(a), ((4, 6),), 1, label="iterated"),
    Case("glu", lambda a: F.glu(a, 1), ((4, 12),), 2),
    Case("split", lambda a: a.split(6, 1), ((4, 12),), 2, label="written in the code"),
    Case("split", lambda a, b: a.split([b.shape[0], a.shape[1] - b.shape[0]], 1), ((4, 14), (6,)), 4),
    Case("split", lambda a, b: a.split(b.shape[0], 1), ((4, 12), (6,)), 4, label="by size"),
    Case("split", lambda a: a.split([0, a.shape[1]], 1)[1], ((4, 12),), 2, label="an empty piece"),
    Case(
        "split_with_sizes",
        lambda a, b: a.split_with_sizes([b.shape[0], a.shape[1] - b.shape[0]], 1),
        ((4, 14), (6,)),
        4,
    ),
    Case("chunk", lambda a: a.chunk(2, 1), ((4, 12),), 3),
    Case("chunk", lambda a: a.chunk(3, dim=-1), ((4, 8),), 1, label="uneven"),
    Case("tensor_split", lambda a: a.tensor_split(2, 1), ((4, 12),), 3),
    Case("unsafe_chunk", lambda a: torch.unsafe_chunk(a, 2, 1), ((4, 12),), 3),
    Case("unsafe_split", lambda a: torch.unsafe_split(a, 6, 1), ((4, 12),), 2),
]


def test_joining() -> None:
    exercise(CASES)
