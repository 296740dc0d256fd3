"""The teacher's probabilities, softened by a temperature."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.functional import kl_div, log_softmax

from ...errors import InputError


def softened(student: Tensor, teacher: Tensor, y: Any = None, *, temperature: float = 4.0) -> Tensor:
    """T² · KL(softmax(teacher/T) ‖ softmax(student/T)), mean over all but the class dimension.

    Args:
        student, teacher: (..., classes) scores.
        y: not looked at.
        temperature: T > 0; higher shows more of what the teacher thinks of the wrong classes.

    Returns:
        Scalar ≥ 0, nats. T² keeps the gradient's size when T changes.

    Source: Hinton, Vinyals & Dean 2015, arXiv:1503.02531.
    """
    check_temperature(temperature)
    ours = log_softmax(student / temperature, dim=-1)
    theirs = log_softmax(teacher / temperature, dim=-1)
    return temperature**2 * kl_div(ours, theirs, reduction="none", log_target=True).sum(-1).mean()


def check_temperature(temperature: float) -> None:
    """Raise InputError unless it is positive."""
    if not temperature > 0:
        raise InputError(f"temperature must be positive, not {temperature}")
