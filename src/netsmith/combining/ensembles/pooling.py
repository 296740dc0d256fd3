"""Several members' scores -> one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ...errors import InputError

RULES = ("probabilities", "geometric", "logits", "vote", "mean", "median")
_TIE = 1e-4  # share of the mean probabilities in a vote: decides ties, and keeps the logarithm finite


def pool(scores: Tensor, weights: Tensor, rule: str) -> Tensor:
    """One score for each class (or, for regression, one output) from those of M members.

    Args:
        scores: (M, ..., C) logits or log-probabilities; for "mean" and "median" any outputs (M, ...).
        weights: (M,) ≥ 0, sum 1. "median" does not look at them.
        rule: "probabilities" (weighted mean of the members' probabilities), "geometric" (of their logarithms, summed to
            one again), "logits" (weighted mean of the raw scores), "vote" (weighted share of votes; ties go to the
            larger mean probability), "mean" and "median" of the outputs.

    Returns:
        (..., C). For the first two and "vote" log-probabilities: their softmax is the ensemble's probabilities.
    """
    column = weights.to(scores.dtype).view(-1, *[1] * (scores.ndim - 1))
    if rule in ("logits", "mean"):
        return (column * scores).sum(0)
    if rule == "median":
        ordered, half = scores.sort(0).values, len(scores) // 2
        return ordered[half] if len(scores) % 2 else (ordered[half - 1] + ordered[half]) / 2
    if rule == "geometric":
        return (column * scores.log_softmax(-1)).sum(0).log_softmax(-1)
    mixed = (column.log() + scores.log_softmax(-1)).logsumexp(0)
    if rule == "probabilities":
        return mixed
    votes = (column * one_hot(scores.argmax(-1), scores.shape[-1])).sum(0)
    return ((votes + _TIE * mixed.exp()) / (1 + _TIE)).clamp_min(torch.finfo(scores.dtype).tiny).log()


def check_rule(rule: str) -> None:
    """Raise InputError for a rule that ``pool`` does not know."""
    if rule not in RULES:
        raise InputError(f"rule={rule!r} is unknown; there are {', '.join(RULES)}")
