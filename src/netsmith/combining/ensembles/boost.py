"""Boosting with networks: each member is trained on what those before it get wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from ...data.running import call, logits
from ...errors import InputError
from ...training import Training
from ...training.train import train
from .calibration import zero_of
from .container import Ensemble
from .parallel import Parallel, shares

Fit = Callable[[nn.Module, Tensor, Tensor, Tensor], nn.Module]
METHODS = ("samme", "gradient")
_SURE = 1e-6  # an error below this counts as this: a member without error gets a finite weight


class Additive(Ensemble):
    """The weighted sum of the members' outputs and a constant.

    Attributes:
        weights: (M,) buffer.
        base: (C,) buffer.
    """

    weights: Tensor
    base: Tensor

    def __init__(self, members: Mapping[str, nn.Module], weights: Tensor, base: Tensor) -> None:
        super().__init__(members)
        self.register_buffer("weights", weights)
        self.register_buffer("base", base)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """(N, C) logits."""
        return self.base + (self.weights[:, None, None] * self.member_scores(*args, **kwargs)).sum(0)


def boost(
    build: Callable[[], nn.Module],
    x: Tensor,
    y: Tensor,
    *,
    rounds: int,
    method: str = "samme",
    fit: Fit | None = None,
    rate: float = 0.5,
    seed: int = 0,
) -> Parallel | Additive:
    """Train members one after the other, each on what is still wrong.

    Args:
        build: makes an untrained member; called without arguments, each time from another seed.
        x, y: examples (N, ...) and labels (N,), all in memory.
        rounds: members at most. "samme" ends early with a member that makes no error (nothing is left to correct) or
            that is no better than chance (it is left out).
        method: "samme": weighted examples, weighted votes; "gradient": members learn, by least squares, the
            difference between labels and the probabilities so far, and a line search says how far to follow each.
        fit: (model, x, target, weights) -> trained model, for networks that need care. ``target`` is the labels (N,)
            or, for "gradient", (N, C) numbers; ``weights`` (N,) have mean 1. None: ``fitting()``.
        rate: of "gradient": share of the line search's step that is taken, in (0, 1].
        seed: of the members' first weights. The caller's random state is as before afterwards.

    Returns:
        ``Parallel`` with weighted votes, or ``Additive``; in eval mode.

    Raises:
        InputError: options out of range, data that does not fit, or a first member no better than chance.

    Source: Zhu, Zou, Rosset & Hastie, Statistics and Its Interface 2, 2009 (SAMME); Friedman, Annals of Statistics 29,
        2001.
    """
    if method not in METHODS:
        raise InputError(f"method={method!r} is unknown; there are {', '.join(METHODS)}")
    if rounds < 1 or not 0 < rate <= 1:
        raise InputError(f"boost needs rounds ≥ 1 and rate in (0, 1], not {rounds} and {rate}")
    if y.ndim != 1 or len(x) != len(y) or y.is_floating_point() or not len(y):
        raise InputError(f"boost needs examples (N, ...) and labels (N,), not {tuple(x.shape)} and {tuple(y.shape)}")
    train_one = fit or fitting(seed=seed)

    def new(number: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + number)
            return build()

    return (_samme if method == "samme" else _gradient)(new, train_one, x, y, rounds, rate)


def fitting(*, epochs: int = 10, batch_size: int = 64, lr: float = 0.01, seed: int = 0) -> Fit:
    """A ``fit`` for ``boost``: weighted cross-entropy for labels, weighted squares for numbers, with AdamW."""

    def fit(model: nn.Module, x: Tensor, target: Tensor, weights: Tensor) -> nn.Module:
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed)).split(batch_size)
        batches = [(x[rows], (target[rows], weights[rows])) for rows in order]

        def objective(network: nn.Module, inputs: Any, y: Any) -> Tensor:
            found, (wanted, weight) = logits(call(network, inputs)), y
            if wanted.is_floating_point():
                return (weight * (found - wanted).square().mean(1)).mean()
            return (weight * cross_entropy(found, wanted, reduction="none")).mean()

        return train(model, batches, objective, Training(epochs=epochs, lr=lr, optimizer="adamw", seed=seed))

    return fit


def _samme(new: Any, fit: Fit, x: Tensor, y: Tensor, rounds: int, rate: float) -> Parallel:
    members: dict[str, nn.Module] = {}
    says: list[float] = []
    weights = torch.ones(len(y))
    for number in range(rounds):
        member = fit(new(number), x, y, weights).eval()
        found = _scores(member, x)
        wrong, classes = found.argmax(1) != y, found.shape[1]
        error = float((weights * wrong).sum() / weights.sum())
        if error >= 1 - 1 / classes:
            break
        members[str(number)] = member
        held = max(error, _SURE)
        says.append(math.log((1 - held) / held) + math.log(classes - 1))
        if error < _SURE:
            break
        weights = weights * torch.where(wrong, math.exp(says[-1]), 1.0)
        weights = weights / weights.mean()
    if not members:
        raise InputError("the first member is no better than chance; train it longer (fit=fitting(epochs=...))")
    return Parallel(members, "vote", shares(says, len(members))).eval()


def _gradient(new: Any, fit: Fit, x: Tensor, y: Tensor, rounds: int, rate: float) -> Additive:
    members: dict[str, nn.Module] = {}
    steps: list[float] = []
    classes = int(y.max()) + 1
    labels = one_hot(y, classes).float()
    base = labels.mean(0).clamp_min(1 / len(y)).log()
    total = base.expand(len(y), -1)
    for number in range(rounds):
        member = fit(new(number), x, labels - total.softmax(1), torch.ones(len(y))).eval()
        step = rate * _line_search(total, found := _scores(member, x), y)
        members[str(number)] = member
        steps.append(step)
        total = total + step * found
    return Additive(members, torch.tensor(steps), base).eval()


def _line_search(total: Tensor, direction: Tensor, y: Tensor) -> float:
    """How far along the direction the log-loss is smallest; it is convex there."""
    if direction.shape != total.shape:
        raise InputError(f"members must return {tuple(total.shape)}, one score for each class, not {direction.shape}")
    wide, along = total.double(), direction.double()
    own = along.gather(1, y[:, None]).squeeze(1)
    return zero_of(lambda step: float((((wide + step * along).softmax(1) * along).sum(1) - own).mean()))


def _scores(member: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([logits(call(member, part)).float().cpu() for part in x.split(256)])
