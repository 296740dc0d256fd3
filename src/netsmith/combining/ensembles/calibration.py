"""Are probabilities what they say: temperature scaling, and the error of calibration."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

_RANGE = (-7.0, 7.0)  # of the logarithm of 1/T
_STEPS = 60  # bisections: the bracket shrinks below float64's resolution


def temperature(scores: Tensor, labels: Tensor) -> float:
    """The T > 0 for which softmax(scores / T) has the smallest log-loss.

    The log-loss is convex in 1/T, so the zero of its slope is found by bisection, between e⁻⁷ and e⁷.

    Args:
        scores: (N, C).
        labels: (N,) int64.

    Source: Guo et al., ICML 2017, arXiv:1706.04599.
    """
    wide = scores.double()
    own = wide.gather(1, labels[:, None]).squeeze(1)

    def slope(scale: float) -> float:  # d log-loss / d (1/T)
        return float(((wide * scale).softmax(1) * wide).sum(1).sub(own).mean())

    return 1 / zero_of(slope)


def zero_of(slope: Callable[[float], float]) -> float:
    """Where an increasing function of a positive number crosses zero; an end of the range e⁻⁷..e⁷ if it does not."""
    low, high = _RANGE
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(math.exp(middle)) > 0 else (middle, high)
    return math.exp((low + high) / 2)


def calibration_error(log_probabilities: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Expected calibration error: how far confidence and accuracy lie apart, in 0..1; 0 is best.

    Σ over bins of equal width of (share of examples) · |accuracy - mean confidence|, confidence the largest
    probability.

    Args:
        log_probabilities: (N, C) in nats.
        labels: (N,) int64.

    Source: Naeini, Cooper & Hauskrecht, AAAI 2015.
    """
    sure, said = log_probabilities.double().exp().max(1)
    index = (sure * bins).long().clamp(max=bins - 1)
    gap = torch.zeros(bins, dtype=torch.float64).index_add_(0, index, (said == labels).double() - sure)
    return float(gap.abs().sum() / len(labels))
