"""When to leave a cascade: thresholds for a target accuracy or a target mean cost, chosen on labelled data."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...errors import BudgetError, InputError

NEVER = 2.0  # no confidence reaches it
_TRIED = 4096  # combinations of thresholds, about


@dataclass(frozen=True)
class Choice:
    """Thresholds, and what they give on the data that they were chosen on.

    Attributes:
        thresholds: one for each member but the last.
        accuracy: share of right answers in 0..1.
        mean_cost: mean over the examples, in the unit of the members' costs.
        worst_cost: of an example that every member sees.
        reached: share of the examples that each member sees.
    """

    thresholds: tuple[float, ...]
    accuracy: float
    mean_cost: float
    worst_cost: float
    reached: tuple[float, ...]


def choose(
    confidence: Tensor,
    right: Tensor,
    costs: Sequence[float],
    *,
    target_accuracy: float | None = None,
    target_cost: float | None = None,
) -> Choice:
    """The cheapest thresholds that reach an accuracy, or the most accurate ones within a mean cost.

    For each member the quantiles of its confidence are tried, and that nobody leaves; for K members all combinations
    of about 4096^(1/(K-1)) of them.

    Args:
        confidence: (K-1, N) after each member but the last.
        right: (K, N) bool: whether the answer after each member is right.
        costs: (K,) of each member.
        target_accuracy: in 0..1.
        target_cost: mean cost, in the unit of ``costs``.

    Raises:
        InputError: none or both of the targets, or an accuracy outside 0..1.
        BudgetError: no thresholds reach the target; the message says what can be reached.
    """
    if (target_accuracy is None) == (target_cost is None):
        raise InputError("give one of target_accuracy and target_cost")
    if target_accuracy is not None and not 0 <= target_accuracy <= 1:
        raise InputError(f"target_accuracy is a share of right answers in 0..1, not {target_accuracy}")
    tried = list(choices(confidence, right, costs))
    if target_accuracy is not None:
        good = [c for c in tried if c.accuracy >= target_accuracy]
        if not good:
            best = max(tried, key=lambda c: c.accuracy)
            raise BudgetError(
                f"no thresholds reach an accuracy of {target_accuracy:.4f}; the best is {best.accuracy:.4f}, at a mean "
                f"cost of {best.mean_cost:,.0f}. Ask for less, or add a better member"
            )
        return min(good, key=lambda c: (c.mean_cost, -c.accuracy))
    good = [c for c in tried if c.mean_cost <= (target_cost or 0)]
    if not good:
        raise BudgetError(
            f"no thresholds keep the mean cost within {target_cost:,.0f}; the first member alone costs {costs[0]:,.0f}"
        )
    return max(good, key=lambda c: (c.accuracy, -c.mean_cost))


def choices(confidence: Tensor, right: Tensor, costs: Sequence[float]) -> Iterator[Choice]:
    """What each combination of thresholds gives."""
    count = max(2, int(_TRIED ** (1 / max(1, len(confidence)))))
    grids = [_candidates(row, count) for row in confidence]
    for thresholds in itertools.product(*grids):
        yield outcome(confidence, right, costs, thresholds)


def outcome(confidence: Tensor, right: Tensor, costs: Sequence[float], thresholds: Sequence[float]) -> Choice:
    """What some thresholds give on this data."""
    there = torch.ones(right.shape[1], dtype=torch.bool)
    correct, reached = 0, []
    for k, answers in enumerate(right):
        reached.append(float(there.float().mean()))
        leaves = there & (confidence[k] >= thresholds[k]) if k < len(confidence) else there
        correct += int((answers & leaves).sum())
        there = there & ~leaves
    mean = sum(cost * share for cost, share in zip(costs, reached, strict=True))
    return Choice(tuple(thresholds), correct / right.shape[1], mean, float(sum(costs)), tuple(reached))


def _candidates(confidence: Tensor, count: int) -> list[float]:
    """0 (all leave), halfway between confidences that occur (so that rounding does not decide), and never."""
    values: Any = confidence.unique()  # sorted
    if len(values) > count - 2:
        values = values[torch.linspace(0, len(values) - 1, max(2, count - 1)).round().long()]
    return [0.0, *((values[1:] + values[:-1]) / 2).tolist(), NEVER]
