"""scikit-learn's digits: 1,797 real handwritten digits of 8×8 pixels. No download."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset


@dataclass(frozen=True, eq=False)
class Examples(Dataset[tuple[Tensor, Tensor]]):
    """Labelled images held in memory.

    Attributes:
        images: (N, C, H, W) float32.
        labels: (N,) int64.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.images[index], self.labels[index]


@dataclass(frozen=True, eq=False)
class Splits:
    """Train on ``train``, choose on ``validation``, report on ``test``."""

    train: Examples
    validation: Examples
    test: Examples


def digits(seed: int = 0) -> Splits:
    """1,797 handwritten digits, split 1,149 / 288 / 360, the same share of every class in each.

    Args:
        seed: which examples go where; the same seed gives the same splits.

    Returns:
        Splits of images (N, 1, 8, 8) and labels 0–9. Pixels are standardised with the mean and the standard
        deviation of all training pixels.

    Source: E. Alpaydin, C. Kaynak, UCI Optical Recognition of Handwritten Digits, 1998; the test part, as shipped
        with scikit-learn.
    """
    # scikit-learn takes a second to import; only those who ask for digits wait.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    raw: Any = load_digits()
    images = torch.from_numpy(raw.images).float().unsqueeze(1) / 16
    labels = torch.from_numpy(raw.target).long()
    rest, test = train_test_split(range(len(labels)), test_size=0.2, stratify=labels, random_state=seed)
    train, validation = train_test_split(rest, test_size=0.2, stratify=labels[rest], random_state=seed)
    mean, std = images[train].mean(), images[train].std()
    images = (images - mean) / std
    return Splits(*(Examples(images[part], labels[part]) for part in (train, validation, test)))
