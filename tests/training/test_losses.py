"""What a student learns from a teacher."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from netsmith.errors import InputError
from netsmith.training import losses

SCORES = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0], [0.3, 0.2, -1.0]])
OTHER = torch.tensor([[0.2, 0.1, -1.0], [2.0, -1.0, 0.3], [0.5, 0.1, 1.0]])
ALL = [losses.softened, losses.decoupled, losses.correlation, losses.cosine, losses.tokens]


@pytest.mark.parametrize("loss", ALL, ids=lambda f: f.__name__)
def test_equals_lose_nothing_and_others_do(loss) -> None:
    assert float(loss(SCORES, SCORES, None)) == pytest.approx(0, abs=1e-5)
    assert float(loss(SCORES, OTHER, None)) > 0.05
    student = SCORES.clone().requires_grad_()
    for _ in range(200):
        (gradient,) = torch.autograd.grad(loss(student, OTHER, None), student)
        with torch.no_grad():
            student -= 0.2 * gradient
    assert float(loss(student.detach(), OTHER, None)) < 0.3 * float(loss(SCORES, OTHER, None))


@pytest.mark.parametrize("loss", ALL, ids=lambda f: f.__name__)
def test_sequences_have_further_dimensions(loss) -> None:
    student, teacher = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    assert torch.allclose(loss(student, teacher, None), loss(student.flatten(0, 1), teacher.flatten(0, 1), None))


def test_softened_is_cross_entropy_without_entropy_and_keeps_its_gradient() -> None:
    p = OTHER.softmax(-1)
    expected = cross_entropy(SCORES, p) - cross_entropy(OTHER, p)
    assert torch.allclose(losses.softened(SCORES, OTHER, temperature=1.0), expected)
    gradients = []
    for temperature in (20.0, 40.0):
        student = SCORES.clone().requires_grad_()
        losses.softened(student, OTHER, temperature=temperature).backward()
        gradients.append(student.grad)
    assert torch.allclose(gradients[0], gradients[1], rtol=0.1, atol=1e-3)


def test_decoupled_parts_add_up_to_the_divergence() -> None:
    """With the others weighed by what the teacher gives them it is the plain divergence, example by example."""
    y = torch.tensor([0, 2, 1])
    for scores, other, right in zip(SCORES, OTHER, y, strict=True):
        spare = 1 - float((other / 2).softmax(-1)[right])
        parts = losses.decoupled(scores[None], other[None], right[None], temperature=2.0, others=spare)
        assert torch.allclose(parts, losses.softened(scores[None], other[None], temperature=2.0), atol=1e-5)


def test_decoupled_without_labels_takes_the_teachers() -> None:
    assert torch.equal(losses.decoupled(SCORES, OTHER), losses.decoupled(SCORES, OTHER, OTHER.argmax(-1)))
    assert not torch.allclose(losses.decoupled(SCORES, OTHER), losses.decoupled(SCORES, OTHER, OTHER.argmin(-1)))


def test_correlation_does_not_mind_affine_changes_of_probabilities() -> None:
    teacher = torch.tensor([[0.1, 0.3, 0.6]])
    flat = 0.5 * teacher + 0.5 / 3
    assert float(losses.correlation(flat.log(), teacher.log())) == pytest.approx(0, abs=1e-6)
    assert float(losses.softened(flat.log(), teacher.log(), temperature=1.0)) > 0.05


def test_cosine_does_not_mind_length() -> None:
    assert float(losses.cosine(3 * SCORES, SCORES)) == pytest.approx(0, abs=1e-6)
    assert float(losses.cosine(-SCORES, SCORES)) == pytest.approx(2)


def test_tokens_that_are_padding_do_not_count() -> None:
    student, teacher = torch.randn(2, 3, 5), torch.randn(2, 3, 5)
    y = torch.tensor([[1, 2, -100], [4, -100, -100]])
    kept = [(0, 0), (0, 1), (1, 0)]
    each = [losses.tokens(student[i, j][None, None], teacher[i, j][None, None]) for i, j in kept]
    assert torch.allclose(losses.tokens(student, teacher, y), torch.stack(each).mean())
    assert float(losses.tokens(student, teacher, torch.full((2, 3), -100))) == 0


@pytest.mark.parametrize("loss", [losses.softened, losses.decoupled, losses.correlation, losses.tokens])
def test_temperature_is_positive(loss) -> None:
    with pytest.raises(InputError, match="temperature must be positive, not 0"):
        partial(loss, temperature=0)(SCORES, Tensor(OTHER))
