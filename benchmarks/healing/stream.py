"""Augmented training images in batches of 128: the same for every network that is compared."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1] / "oneshot"))
from run import accuracy, augmented, images, trained

BATCH = 128
VALIDATION = 1000  # of the training images, never trained on


class Stream:
    """``steps`` batches (x, y) of augmented images; every pass gives the same."""

    def __init__(self, x: Tensor, y: Tensor, steps: int, seed: int = 0):
        generator = torch.Generator().manual_seed(seed)
        passes = -(-steps * BATCH // len(x))
        rows = torch.cat([torch.randperm(len(x), generator=generator) for _ in range(passes)])
        self.x, self.y, self.rows = x, y, list(rows[: steps * BATCH].split(BATCH))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for i, rows in enumerate(self.rows):
            x = augmented(self.x[rows], seed=i)
            yield x.to(memory_format=torch.channels_last), self.y[rows]


def fast(model: nn.Module) -> nn.Module:
    """Laid out as the processor likes it; the numbers are the same."""
    return model.to(memory_format=torch.channels_last)


def load(shared: Path) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Training, validation (cut from training) and test images with labels."""
    x, y = images(shared / "cifar10-jpeg" / "train.parquet")
    test = images(shared / "cifar10-jpeg" / "test.parquet")
    return (x[:-VALIDATION], y[:-VALIDATION]), (x[-VALIDATION:], y[-VALIDATION:]), test


__all__ = ["BATCH", "Stream", "accuracy", "fast", "load", "trained"]
