"""Fits that are pulled to a start: the minimum is scikit-learn's, and noise alone moves nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from netsmith.combining.ensembles.shrinking import path, shrunk


def problem(rows: int, strength: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features and labels; ``strength``: how much the first says about the second."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(rows) % 3
    x = torch.randn(rows, 4, generator=generator, dtype=torch.float64)
    x[:, 0] += strength * (labels - 1)
    return x, labels


def loss_of(x: Tensor, labels: Tensor):
    return lambda weight, rows: cross_entropy(x[rows] @ weight.T, labels[rows], reduction="none")


@pytest.mark.parametrize("strength", [0.1, 0.001])
def test_the_minimum_is_that_of_scikit_learn(strength: float) -> None:
    from sklearn.linear_model import LogisticRegression

    x, labels = problem(60, 1.0)
    found = path(loss_of(x, labels), torch.zeros(3, 4, dtype=torch.float64), torch.arange(60), [1.0, strength])[-1]
    other = LogisticRegression(C=1 / (2 * strength * 60), fit_intercept=False, tol=1e-10, max_iter=5000)
    assert torch.allclose(found, torch.from_numpy(other.fit(x.numpy(), labels.numpy()).coef_), atol=1e-4)


def test_noise_moves_nothing_and_a_signal_does() -> None:
    start = torch.full((3, 4), 0.1, dtype=torch.float64)
    for signal in (0.0, 3.0):
        x, labels = problem(90, signal)
        found = shrunk(loss_of(x, labels), [lambda rows: start], labels)
        assert torch.equal(found, start) == (signal == 0.0)
        assert torch.equal(found, shrunk(loss_of(x, labels), [lambda rows: start], labels))


def test_another_start_is_taken_where_it_is_better() -> None:
    x, labels = problem(90, 3.0)
    zero = torch.zeros(3, 4, dtype=torch.float64)
    good = path(loss_of(x, labels), zero, torch.arange(90), [0.001])[-1]
    found = shrunk(loss_of(x, labels), [lambda rows: zero, lambda rows: good], labels, strengths=[1.0])
    assert torch.equal(found, good)


def test_too_few_examples_leave_the_start() -> None:
    x, labels = problem(9, 3.0)
    start = torch.ones(3, 4, dtype=torch.float64)
    assert torch.equal(shrunk(loss_of(x, labels), [lambda rows: start], labels), start)


def test_a_rare_class_is_no_obstacle() -> None:
    x, labels = problem(60, 3.0)
    labels = torch.where(torch.arange(60) == 5, 2, labels.clamp(max=1))
    assert shrunk(loss_of(x, labels), [lambda rows: torch.zeros(3, 4, dtype=torch.float64)], labels).isfinite().all()
