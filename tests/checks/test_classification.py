"""Accuracy and macro-F1."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from netsmith.checks.classification import classification
from netsmith.errors import InputError, ModelError


class Answers(nn.Module):
    """Says what it is given: x holds the class that it answers."""

    def forward(self, x):
        return nn.functional.one_hot(x, 3).float()


def test_figures_by_hand() -> None:
    said, right = torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([0, 0, 1, 1, 1, 1])
    figures = classification(Answers(), [(said[:4], right[:4]), (said[4:], right[4:])])
    assert figures["accuracy"] == pytest.approx(4 / 6)
    # F1: class 0 = 2·2/(2·2+1+0) = 0.8; class 1 = 2·2/(2·2+0+2) = 2/3; class 2 = 0
    assert figures["f1"] == pytest.approx((0.8 + 2 / 3 + 0) / 3)


def test_dropout_is_off_and_modes_are_put_back() -> None:
    model = nn.Sequential(Answers(), nn.Dropout(0.9))
    model[0].eval()
    y = torch.arange(30) % 3
    assert classification(model, [(y, y)]) == {"accuracy": 1.0, "f1": 1.0}
    assert [m.training for m in model.modules()] == [True, False, True]


def test_bad_input() -> None:
    y = torch.tensor([0, 1])
    with pytest.raises(InputError, match="the data is empty"):
        classification(Answers(), [])
    with pytest.raises(InputError, match="y a tensor of labels, not NoneType"):
        classification(Answers(), [y])
    with pytest.raises(InputError, match=r"not scores \(2, 3\) with labels \(1,\)"):
        classification(Answers(), [(y, y[:1])])
    with pytest.raises(InputError, match=r"not scores \(2, 3\) with labels \(2,\) torch.float32"):
        classification(Answers(), [(y, y.float())])
    sick = nn.Linear(2, 3)
    nn.init.constant_(sick.bias, float("nan"))
    with pytest.raises(ModelError, match="NaN or infinite scores"):
        classification(sick, [(torch.zeros(2, 2), y)])
