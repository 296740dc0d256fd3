"""Fits that start from something plain and leave it only as far as examples that were left out confirm.

A few hundred examples cannot fix the five hundred weights of a stack of five members and ten classes: pulled to zero,
they answer worse than the best member. Pulled to the members' mean they can only add to it, and where what they add is
no better on examples left out than chance explains, the plain answer stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]
Start = Callable[[Tensor], Tensor]

STRENGTHS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)  # of the penalty, strongest first; features have variance 1
_STEPS = 200


def shrunk(
    loss: Loss,
    starts: Sequence[Start],
    labels: Tensor,
    *,
    folds: int = 5,
    seed: int = 0,
    strengths: Sequence[float] = STRENGTHS,
) -> Tensor:
    """The plainest parameters whose loss on left-out examples is the best one, as far as these can tell.

    Candidates are the starts, and for each strength the minimum of mean loss + strength · |θ - first start|². Each is
    judged by cross-validation. The candidate with the least loss is beaten by a plainer one that is worse by no more
    than one standard error of the difference. Plainest is the first start, then the others from the best on, then the
    minima from the strongest penalty on.

    Args:
        loss: (parameters, rows) -> (rows,) loss of each of these examples; differentiable in the parameters.
        starts: rows -> parameters, fitted on these rows if anything is; at least one.
        labels: (N,) class numbers, which the folds share out evenly.
        folds: of the cross-validation, ≥ 2. With fewer than two examples a fold the first start stays.
        seed: of the folds.
        strengths: > 0, strongest first.

    Returns:
        Parameters of the shape of the starts, float64, fitted on all examples.

    Source: the rule of one standard error, Breiman et al., Classification and Regression Trees, 1984.
    """
    count, everyone = len(labels), torch.arange(len(labels))
    if count < 2 * folds:
        return starts[0](everyone)
    held = torch.zeros(len(starts) + len(strengths), count, dtype=torch.float64)
    for fit, judge in _splits(labels, folds, seed):
        plain = [start(fit) for start in starts]
        for i, parameters in enumerate([*plain, *path(loss, plain[0], fit, strengths)]):
            with torch.no_grad():
                held[i, judge] = loss(parameters, judge)
    mean = held.mean(1)
    others = sorted(range(1, len(starts)), key=lambda i: float(mean[i]))
    plainest = [0, *others, *range(len(starts), len(held))]
    worse = held - held[int(mean.argmin())]
    allowed = worse.std(1) / count**0.5
    chosen = next(i for i in plainest if float(worse[i].mean()) <= float(allowed[i]))
    if chosen < len(starts):
        return starts[chosen](everyone)
    return path(loss, starts[0](everyone), everyone, strengths[: chosen - len(starts) + 1])[-1]


def path(loss: Loss, start: Tensor, rows: Tensor, strengths: Sequence[float]) -> list[Tensor]:
    """For each strength, strongest first, argmin over θ of mean loss + strength · |θ - start|²."""
    found, parameters = [], start.clone()
    for strength in strengths:
        parameters = parameters.clone().requires_grad_()
        descent = torch.optim.LBFGS(
            [parameters], max_iter=_STEPS, tolerance_grad=1e-8, tolerance_change=1e-12, line_search_fn="strong_wolfe"
        )

        def objective(now: Tensor = parameters, pull: float = strength, by: torch.optim.LBFGS = descent) -> Tensor:
            by.zero_grad()
            value = loss(now, rows).mean() + pull * (now - start).square().sum()
            value.backward()
            return value

        with torch.enable_grad():
            descent.step(objective)
        parameters = parameters.detach()
        found.append(parameters)
    return found


def _splits(labels: Tensor, folds: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    from sklearn.model_selection import KFold, StratifiedKFold

    rare = bool((labels.bincount()[labels.unique()] < folds).any())  # such a class cannot be in every fold
    kind = KFold if rare else StratifiedKFold
    found = kind(folds, shuffle=True, random_state=seed).split(np.zeros(len(labels)), labels.numpy())
    return [(torch.from_numpy(fit), torch.from_numpy(judge)) for fit, judge in found]
