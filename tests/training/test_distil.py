"""Distillation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from netsmith.errors import InputError
from netsmith.training import distil
from netsmith.training.losses import softened


def teacher_and_data() -> tuple[nn.Module, list[torch.Tensor]]:
    torch.manual_seed(0)
    teacher = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5))
    with torch.no_grad():
        teacher[0].weight.mul_(4)
    return teacher, list(torch.randn(96, 4).split(16))


def test_the_student_comes_to_agree_with_the_teacher_without_labels() -> None:
    teacher, data = teacher_and_data()
    teacher[0].eval()
    modes = [m.training for m in teacher.modules()]
    weights = teacher[0].weight.clone()
    student = nn.Linear(4, 3)
    start = student.weight.clone()
    trained = distil(student, teacher, data, epochs=30, lr=0.2, temperature=2.0, weight_decay=0)

    assert [m.training for m in teacher.modules()] == modes == [True, False, True]
    assert torch.equal(teacher[0].weight, weights)
    assert teacher[0].weight.grad is None
    assert torch.equal(student.weight, start)
    fresh = torch.randn(200, 4)
    with torch.no_grad():
        agreement = (trained(fresh).argmax(1) == teacher[0](fresh).argmax(1)).float().mean()
    assert agreement > 0.95


def test_labels_weigh_as_much_as_asked() -> None:
    """With alpha=1 the teacher does not matter: the student learns labels that contradict it."""
    teacher, data = teacher_and_data()
    with torch.no_grad():
        labelled = [(x, teacher[0](x).argmin(1)) for x in data]
    trained = distil(nn.Linear(4, 3), teacher, labelled, epochs=30, lr=0.3, alpha=1.0)
    with torch.no_grad():
        right = torch.cat([trained(x).argmax(1) == y for x, y in labelled]).float().mean()
    assert right > 0.9


def test_classes_may_stand_in_any_dimension() -> None:
    seen = []

    def spy(student, teacher, y):
        seen.append(tuple(student.shape))
        return softened(student, teacher)

    convs = nn.Conv2d(2, 4, 1), nn.Conv2d(2, 4, 1)
    labels = torch.zeros(3, 5, 5, dtype=torch.long)
    distil(*convs, [(torch.randn(3, 2, 5, 5), labels)], epochs=1, alpha=0.5, class_dim=1, loss=spy)
    assert seen == [(3, 5, 5, 4)]


def test_bad_input() -> None:
    teacher, data = teacher_and_data()
    student = nn.Linear(4, 3)
    with pytest.raises(InputError, match=r"same shape, not \(16, 2\) and \(16, 3\)"):
        distil(nn.Linear(4, 2), teacher, data, epochs=1)
    with pytest.raises(InputError, match=r"alpha=0.5 weighs labels, but a batch has none"):
        distil(student, teacher, data, epochs=1, alpha=0.5)
    with pytest.raises(InputError, match="temperature must be positive, not 0"):
        distil(student, teacher, data, epochs=1, temperature=0)
    with pytest.raises(InputError, match=r"alpha is the weight of the labels in \[0, 1\], not 2"):
        distil(student, teacher, data, epochs=1, alpha=2)
    with pytest.raises(InputError, match="the data is empty"):
        distil(student, teacher, [], epochs=1)
    assert teacher.training
