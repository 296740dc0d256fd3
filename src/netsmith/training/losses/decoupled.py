"""Decoupled: how sure the teacher is of the right class, and what it thinks of the wrong ones, weighed apart."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid, one_hot

from .softened import check_temperature


def decoupled(
    student: Tensor,
    teacher: Tensor,
    y: Any = None,
    *,
    temperature: float = 4.0,
    target: float = 1.0,
    others: float = 8.0,
) -> Tensor:
    """DKD: T² · (target · KL of the binary "right class or not" + others · KL among the other classes).

    Args:
        student, teacher: (..., classes) scores, at least 2 classes.
        y: (...) the right classes; where None or no such tensor, the teacher's highest class stands in for it.
        temperature: T > 0.
        target, others: weights α and β of the two parts; α = 1 and β = 1 − (teacher's probability of the right class)
            would be the plain divergence.

    Returns:
        Scalar ≥ 0, nats, mean over all but the class dimension.

    Source: Zhao et al., CVPR 2022, arXiv:2203.08679.
    """
    check_temperature(temperature)
    classes = student.shape[-1]
    fits = isinstance(y, Tensor) and y.shape == teacher.shape[:-1] and not y.is_floating_point()
    right = one_hot(y.long() if fits else teacher.argmax(-1), classes).bool()

    def parts(scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        scores = scores / temperature
        rest = scores.masked_fill(right, -torch.inf)
        # log p / (1 - p) of the right class: the binary distribution's log-odds.
        odds = scores[right].view(scores.shape[:-1]) - rest.logsumexp(-1)
        among = log_softmax(scores[~right].view(*scores.shape[:-1], classes - 1), -1)
        return logsigmoid(odds), logsigmoid(-odds), among

    (sure, unsure, among), (sure_t, unsure_t, among_t) = parts(student), parts(teacher)
    binary = sure_t.exp() * (sure_t - sure) + unsure_t.exp() * (unsure_t - unsure)
    spread = (among_t.exp() * (among_t - among)).sum(-1)
    return temperature**2 * (target * binary + others * spread).mean()
