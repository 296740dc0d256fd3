"""Confusion matrix and F1 of each class."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from netsmith.checks.classes import MOST_CLASSES, classes_of
from netsmith.checks.classification import classification
from netsmith.errors import InputError

TRUTH = torch.tensor([0, 0, 0, 2, 2, 3])
SAID = torch.tensor([0, 0, 2, 2, 2, 2])


def answering(said: torch.Tensor, classes: int = 5) -> tuple[nn.Module, list[tuple[torch.Tensor, torch.Tensor]]]:
    """A model whose answers are its inputs."""
    return nn.Identity(), [(nn.functional.one_hot(said, classes).float(), TRUTH)]


def test_counts_and_f1_of_the_classes_that_occur() -> None:
    found = classes_of(*answering(SAID))
    assert found.labels == ("0", "2", "3")
    assert found.confusion == ((2, 1, 0), (0, 2, 0), (0, 1, 0))
    assert found.f1 == pytest.approx((0.8, 2 / 3, 0.0))
    assert sum(found.f1) / 3 == pytest.approx(classification(*answering(SAID))["f1"])


def test_labels_name_the_classes() -> None:
    assert classes_of(*answering(SAID), labels=["ant", "bee", "cat", "dog", "elk"]).labels == ("ant", "cat", "dog")
    with pytest.raises(InputError, match="classes go from 0 to 3, and 3 labels are given"):
        classes_of(*answering(SAID), labels=["ant", "bee", "cat"])


def test_many_classes_have_no_matrix() -> None:
    many = torch.arange(MOST_CLASSES + 1)
    found = classes_of(nn.Identity(), [(nn.functional.one_hot(many).float(), many)])
    assert found.confusion == () and found.f1 == (1.0,) * len(many)


def test_data_without_labels() -> None:
    with pytest.raises(InputError, match="measuring accuracy needs"):
        classes_of(nn.Identity(), [torch.zeros(2, 3)])
