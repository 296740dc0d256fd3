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
_TRIED = 4000  # combinations of thresholds, about


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
    of about 4000^(1/(K-1)) of them.

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
    return best_of(list(choices(confidence, right, costs)), target_accuracy, target_cost)


def best_of(tried: Sequence[Choice], target_accuracy: float | None, target_cost: float | None) -> Choice:
    """What ``choose`` returns, out of choices that were worked out before."""
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
        least = min(c.mean_cost for c in tried)
        raise BudgetError(f"no thresholds keep the mean cost within {target_cost:,.0f}; the least is {least:,.0f}")
    return max(good, key=lambda c: (c.accuracy, -c.mean_cost))


def choices(confidence: Tensor, right: Tensor, costs: Sequence[float]) -> Iterator[Choice]:
    """What each combination of thresholds gives."""
    count = max(2, int(_TRIED ** (1 / max(1, len(confidence)))))
    grids = [_candidates(row, count) for row in confidence]
    for first in itertools.product(*grids[:-1]):
        yield from _outcomes(confidence, right, costs, first, grids[-1])


def outcome(confidence: Tensor, right: Tensor, costs: Sequence[float], thresholds: Sequence[float]) -> Choice:
    """What some thresholds give on this data."""
    return next(iter(_outcomes(confidence, right, costs, tuple(thresholds[:-1]), [thresholds[-1]])))


def _outcomes(
    confidence: Tensor, right: Tensor, costs: Sequence[float], first: tuple[float, ...], last: Sequence[float]
) -> Iterator[Choice]:
    """What the thresholds ``first`` give together with each of ``last``, computed for all of them at once."""
    examples = right.shape[1]
    there = torch.ones(examples, dtype=torch.bool)
    correct, reached = 0, []
    for k, threshold in enumerate(first):
        reached.append(int(there.sum()) / examples)
        leaves = there & (confidence[k] >= threshold)
        correct += int((right[k] & leaves).sum())
        there = there & ~leaves
    reached.append(int(there.sum()) / examples)
    goes_on = there & (confidence[-1] < torch.tensor(last)[:, None])  # (thresholds, N)
    scored = (torch.where(goes_on, right[-1], right[-2]) & there).sum(1) + correct
    for threshold, share, count in zip(last, goes_on.sum(1).tolist(), scored.tolist(), strict=True):
        shares = (*reached, share / examples)
        mean = sum(cost * each for cost, each in zip(costs, shares, strict=True))
        yield Choice((*first, threshold), count / examples, mean, float(sum(costs)), shares)


def _candidates(confidence: Tensor, count: int) -> list[float]:
    """0 (all leave), halfway between confidences that occur (so that rounding does not decide), and never."""
    values: Any = confidence.unique()  # sorted
    if len(values) > count - 2:
        values = values[torch.linspace(0, len(values) - 1, max(2, count - 1)).round().long()]
    return [0.0, *((values[1:] + values[:-1]) / 2).tolist(), NEVER]
