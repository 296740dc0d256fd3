"""Correlation: the student ranks as the teacher does, whatever its scale."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.functional import normalize

from .softened import check_temperature


def correlation(
    student: Tensor,
    teacher: Tensor,
    y: Any = None,
    *,
    temperature: float = 1.0,
    between: float = 1.0,
    within: float = 1.0,
) -> Tensor:
    """DIST: T² · (between · (1 − correlation over the classes) + within · (1 − correlation over the examples)).

    Args:
        student, teacher: (..., classes) scores; all but the last dimension count as examples.
        y: not looked at.
        temperature: T > 0 of the softmax before.
        between: weight β of Pearson's correlation among the classes of one example.
        within: weight γ of that among the examples of one class; it needs at least 2 examples to say anything.

    Returns:
        Scalar in [0, 2·T²·(between + within)].

    Source: Huang et al., NeurIPS 2022, arXiv:2205.10536.
    """
    check_temperature(temperature)
    ours = (student / temperature).softmax(-1).flatten(0, -2)
    theirs = (teacher / temperature).softmax(-1).flatten(0, -2)
    loss = between * (1 - _pearson(ours, theirs)).mean()
    if len(ours) > 1:
        loss = loss + within * (1 - _pearson(ours.T, theirs.T)).mean()
    return temperature**2 * loss


def _pearson(a: Tensor, b: Tensor) -> Tensor:
    """(rows, n) twice -> (rows,) correlations."""
    a, b = (normalize(each - each.mean(1, keepdim=True), dim=1) for each in (a, b))
    return (a * b).sum(1)
