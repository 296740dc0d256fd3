"""Weights of members, fitted on their outputs: least squares, log-loss, greedy selection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ...errors import BudgetError, InputError
from .outputs import Outputs
from .pooling import pool

_STEPS = 500
_CERTAIN = 1e3  # weight of the equation Σ w = 1 against one of the others
_SMALL = 1e-4  # weights below this share are rounding of the fit, not members


def least_squares(outputs: Outputs) -> Tensor:
    """Weights ≥ 0 with sum 1 for which the mean probabilities lie nearest to 1 for the right class and 0 for others.

    Returns:
        (M,) float64.

    Source: stacked regressions with non-negative weights, Breiman, Machine Learning 24, 1996.
    """
    # scikit-learn takes a second to import; only those who fit wait.
    from sklearn.linear_model import LinearRegression

    probabilities = outputs.log_probabilities().double().exp()  # (M, N, C)
    target = one_hot(outputs.labels, probabilities.shape[-1]).double().flatten()
    # One more equation, Σ w = 1, that outweighs all others.
    strong = _CERTAIN * len(target) ** 0.5
    rows = torch.cat([probabilities.flatten(1), torch.full((len(probabilities), 1), strong)], 1)  # (M, N·C + 1)
    target = torch.cat([target, torch.tensor([strong])])
    fitted = LinearRegression(fit_intercept=False, positive=True).fit(rows.T.numpy(), target.numpy())
    return _shares(torch.from_numpy(np.asarray(fitted.coef_)))


def log_loss(outputs: Outputs) -> Tensor:
    """Weights ≥ 0 with sum 1 for which the mean probabilities have the smallest log-loss.

    The log-loss is convex in the weights; expectation maximization for the proportions of a mixture descends to its
    minimum without a step size: w_m ← mean over examples of w_m p_m / Σ w p, p the right class's probability.

    Returns:
        (M,) float64.

    Source: Dempster, Laird & Rubin, JRSS B 39, 1977, section 4.3.
    """
    own = outputs.log_probabilities().double().gather(2, outputs.labels.expand(len(outputs.scores), -1)[..., None])
    likelihood = own.squeeze(2).exp().clamp_min(1e-30)  # (M, N)
    weights = torch.full((len(likelihood),), 1 / len(likelihood), dtype=torch.float64)
    for _ in range(_STEPS):
        joint = weights[:, None] * likelihood
        weights = (joint / joint.sum(0)).mean(1)
    return _shares(weights)


def greedy(
    outputs: Outputs,
    *,
    rule: str = "probabilities",
    rounds: int = 50,
    bags: int = 10,
    bag_share: float = 0.5,
    costs: Mapping[str, Sequence[float]] | None = None,
    limits: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Tensor:
    """Add, again and again, the member that helps most; members may be added several times.

    What helps is told by accuracy, and by log-loss where accuracy is the same. Each bag knows a random share of the
    members and starts with its best; the weights are the counts over all bags. A member that no bag has taken yet is
    only taken while the members together stay within the limits.

    Args:
        outputs: of the members on data that they were not trained on.
        rule: how members are pooled, as in ``pooling.pool``.
        rounds: members added in each bag, ≥ 1; the best of the growing ensembles is kept.
        bags: ≥ 1. One bag knows all members.
        bag_share: share of the members that a bag knows, in (0, 1].
        costs: name of a cost -> that of each member, for ``limits``.
        limits: name of a cost -> what all members that are used may cost together.
        seed: of the bags.

    Returns:
        (M,) float64, sum 1.

    Raises:
        InputError: options out of range.
        BudgetError: no single member is within the limits.

    Source: Caruana et al., ICML 2004.
    """
    if rounds < 1 or bags < 1 or not 0 < bag_share <= 1:
        raise InputError(f"greedy needs rounds ≥ 1, bags ≥ 1, bag_share in (0, 1], not {rounds}, {bags}, {bag_share}")
    count, generator = len(outputs.names), torch.Generator().manual_seed(seed)
    known = count if bags == 1 else max(1, round(bag_share * count))
    used: set[int] = set()
    total = torch.zeros(count, dtype=torch.float64)

    def affordable(member: int) -> bool:
        chosen = used | {member}
        return all(sum((costs or {})[key][m] for m in chosen) <= limit for key, limit in (limits or {}).items())

    for _ in range(bags):
        bag = torch.randperm(count, generator=generator)[:known].sort().values.tolist()
        counts = _one_bag(outputs, rule, rounds, bag, used, affordable)
        if counts is not None:
            total += counts
    if not used:  # no bag held a member that the limits allow
        if _one_bag(outputs, rule, rounds, list(range(count)), used, affordable) is None:
            raise BudgetError(f"no member is within the budget of {_words(limits or {})}; allow more")
        return greedy(outputs, rule=rule, rounds=rounds, bags=1, costs=costs, limits=limits, seed=seed)
    return total / total.sum()


def _one_bag(
    outputs: Outputs, rule: str, rounds: int, bag: list[int], used: set[int], affordable: Callable[[int], bool]
) -> Tensor | None:
    """How often each member is in the bag's best ensemble, as shares; None: no member is affordable."""
    count = len(outputs.names)
    counts, best, best_value = torch.zeros(count, dtype=torch.float64), None, (-1.0, 0.0)
    for _ in range(rounds):
        candidates = [m for m in bag if affordable(m)]
        if not candidates:
            break
        values = {}
        for member in candidates:
            trial = counts.clone()
            trial[member] += 1
            values[member] = _value(outputs, trial, rule)
        chosen = max(candidates, key=lambda m: values[m])
        counts[chosen] += 1
        used.add(chosen)
        if values[chosen] > best_value:
            best, best_value = counts.clone(), values[chosen]
    return None if best is None else best / best.sum()


def _value(outputs: Outputs, counts: Tensor, rule: str) -> tuple[float, float]:
    """(accuracy, - log-loss)."""
    taken = counts.nonzero().squeeze(1)
    pooled = pool(outputs.scores[taken], (counts[taken] / counts.sum()).float(), rule).log_softmax(-1)
    own = pooled.gather(1, outputs.labels[:, None])
    return float((pooled.argmax(1) == outputs.labels).double().mean()), float(own.double().mean())


def _shares(weights: Tensor) -> Tensor:
    if not float(weights.sum()) > 0:
        raise InputError("the fit gives every member the weight 0; are the labels those of this data?")
    weights = weights / weights.sum()
    weights = torch.where(weights < _SMALL, 0, weights)
    return weights / weights.sum()


def _words(limits: Mapping[str, float]) -> str:
    return ", ".join(f"{name} ≤ {limit:,.0f}" for name, limit in limits.items())
