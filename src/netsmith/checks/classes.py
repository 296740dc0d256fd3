"""How a classifier does on each class: what is taken for what, and F1 of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..errors import InputError
from .classification import Answers, answers_of

MOST_CLASSES = 100  # a larger confusion matrix is not read by anybody


@dataclass(frozen=True)
class Classes:
    """Answers by class.

    Attributes:
        labels: names of the classes that occur, as truth or as answer, in the order of their numbers.
        confusion: ``confusion[true][predicted]``: examples; empty for more than ``MOST_CLASSES`` classes.
        f1: of each class, 0..1; 0 where a class was never answered rightly.
    """

    labels: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    f1: tuple[float, ...]


def classes_of(model: nn.Module, batches: Iterable[Any], labels: Sequence[str] | None = None) -> Classes:
    """Confusion matrix and F1 of each class of a classifier.

    Args:
        model, batches: as in ``classification``.
        labels: name of each class, by its number; None: the numbers.

    Raises:
        InputError, ModelError: as ``classification``; or a class has no name.
    """
    return by_class(answers_of(model, batches), labels)


def by_class(answers: Answers, labels: Sequence[str] | None = None) -> Classes:
    """The same of answers that were gathered before.

    Raises:
        InputError: a class has no name.
    """
    from sklearn.metrics import confusion_matrix, f1_score

    truth, said = answers.truth.numpy(), answers.said.numpy()
    occurring = torch.cat([answers.truth, answers.said]).unique().tolist()
    if labels is not None and not 0 <= occurring[0] <= occurring[-1] < len(labels):
        raise InputError(f"classes go from {occurring[0]} to {occurring[-1]}, and {len(labels)} labels are given")
    few = len(occurring) <= MOST_CLASSES
    counts = confusion_matrix(truth, said, labels=occurring).tolist() if few else []
    return Classes(
        labels=tuple(str(number) if labels is None else str(labels[number]) for number in occurring),
        confusion=tuple(tuple(row) for row in counts),
        f1=tuple(f1_score(truth, said, labels=occurring, average=None, zero_division=0).tolist()),
    )
