"""Data set -> batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from ..errors import InputError


class ShuffledGroups(Sampler[int]):
    """Every row once: groups in random order, rows in random order within each; one group is one stretch of rows."""

    def __init__(self, groups: Sequence[int], generator: torch.Generator) -> None:
        self.groups, self.generator = groups, generator
        self.starts = [sum(groups[:i]) for i in range(len(groups))]

    def __len__(self) -> int:
        return sum(self.groups)

    def __iter__(self) -> Iterator[int]:
        for group in torch.randperm(len(self.groups), generator=self.generator).tolist():
            rows = torch.randperm(self.groups[group], generator=self.generator)
            yield from (rows + self.starts[group]).tolist()


def batches(dataset: Dataset[Any], batch_size: int, *, shuffle: bool = False, seed: int = 0) -> DataLoader[Any]:
    """A loader over a map-style data set; the last batch may be smaller.

    Args:
        dataset: has ``__len__`` and ``__getitem__``. Where it has ``groups`` (rows of each stretch that is cheap to
            read together), shuffling keeps groups together.
        batch_size: examples a batch, ≥ 1.
        shuffle: another order every pass.
        seed: of the shuffling; a new loader with the same seed repeats the same orders.

    Raises:
        InputError: batch_size below 1, or an empty data set.
    """
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, not {batch_size}")
    size = len(dataset)  # type: ignore[arg-type]
    if not size:
        raise InputError("the data set is empty; there is nothing to batch")
    generator = torch.Generator().manual_seed(seed)
    if not shuffle:
        return DataLoader(dataset, batch_size, generator=generator)
    sampler = ShuffledGroups(getattr(dataset, "groups", (size,)), generator)
    return DataLoader(dataset, batch_size, sampler=sampler, generator=generator)
