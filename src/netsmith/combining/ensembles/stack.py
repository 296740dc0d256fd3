"""Stacking: a linear layer on top of all members' outputs, fitted on examples that they have not seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from ...errors import InputError
from .calibration import temperature
from .container import Ensemble, Members, named
from .outputs import Outputs, gather, outputs_of
from .shrinking import Start, shrunk

METAS = ("logistic", "ridge")
_FLOOR = -20.0  # nats; a member that is utterly sure says no more than this


class Stack(Ensemble):
    """All members run; a linear layer reads their outputs, laid end to end.

    Attributes:
        features: "log_probabilities" (from -20 nats up) or "probabilities" of the members.
        head: nn.Linear(M·C, C).
    """

    def __init__(self, members: Mapping[str, nn.Module], features: str, head: nn.Linear) -> None:
        super().__init__(members)
        self.features, self.head = features, head

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """(N, C) logits."""
        scores: Tensor = self.head(laid_out(self.member_scores(*args, **kwargs), self.features))
        return scores


def laid_out(scores: Tensor, features: str) -> Tensor:
    """(M, N, C) scores -> (N, M·C) features."""
    logs = scores.log_softmax(-1)
    found = logs.clamp_min(_FLOOR) if features == "log_probabilities" else logs.exp()
    return found.transpose(0, 1).flatten(1)


def stack(
    members: Members, data: Iterable[Any] | Outputs, *, meta: str = "logistic", folds: int = 5, seed: int = 0
) -> Stack:
    """A linear meta-learner on the members' outputs, kept in a linear layer.

    Either starts from the members' mean and leaves it only as far as cross-validation confirms.

    Args:
        members: name -> model or a list of models; they are copied.
        data: labelled batches that no member was trained on, or outputs: those of ``out_of_fold`` where there are no
            such examples to spare.
        meta: "logistic": on log-probabilities, pulled to their mean at the temperature that fits best; where that, or
            one member alone, is as good on examples left out (within one standard error), it is the answer. Or "ridge":
            a correction of the members' mean probabilities that shrinks to nothing as its penalty grows; its
            temperature is fitted afterwards.
        folds: of the cross-validation that chooses the strength of the penalty, ≥ 2.
        seed: of the folds.

    Raises:
        InputError: an unknown meta-learner, a class with fewer examples than folds, or data as in
            :func:`.outputs.gather`.

    Source: Wolpert, Neural Networks 5, 1992; Ting & Witten, JAIR 10, 1999.
    """
    if meta not in METAS:
        raise InputError(f"meta={meta!r} is unknown; there are {', '.join(METAS)}")
    copies = named(members)
    outputs = outputs_of(copies, data)
    rare = [i for i, n in enumerate(outputs.labels.bincount(minlength=outputs.scores.shape[2])) if n < max(2, folds)]
    if rare or folds < 2:
        raise InputError(
            f"stacking needs folds ≥ 2 and as many examples of every class; folds={folds}, and of class "
            f"{', '.join(map(str, rare[:5])) or 'none'} there are fewer. Give more data"
        )
    features = "log_probabilities" if meta == "logistic" else "probabilities"
    table = laid_out(outputs.scores.double(), features)
    fit = _logistic if meta == "logistic" else _ridge
    weight, bias = fit(table, outputs.labels, len(copies), folds, seed)
    head = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.copy_(bias)
    return Stack(copies, features, head).eval()


def out_of_fold(
    fits: Mapping[str, Callable[[Tensor, Tensor], nn.Module]], x: Tensor, y: Tensor, *, folds: int = 5, seed: int = 0
) -> tuple[dict[str, nn.Module], Outputs]:
    """Train every member on all examples, and say of each example what members that have not seen it would answer.

    Args:
        fits: name -> a function of (x, y) that trains a model and returns it.
        x, y: examples (N, ...) and labels (N,).
        folds: ≥ 2; each member is trained so many times and once more.
        seed: of the folds.

    Returns:
        (members trained on everything, outputs of those trained on the other folds), for ``stack`` or ``blend``.
    """
    from sklearn.model_selection import StratifiedKFold

    splits = list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(np.zeros(len(y)), y.numpy()))
    parts, order = [], torch.from_numpy(np.concatenate([held for _, held in splits]))
    for rest, held in splits:
        models = {name: fit(x[rest], y[rest]) for name, fit in fits.items()}
        parts.append(gather(models, [(x[held], y[held])]))
    back = order.argsort()
    scores = torch.cat([part.scores for part in parts], 1)[:, back]
    return {name: fit(x, y) for name, fit in fits.items()}, Outputs(tuple(fits), scores, y.cpu().long())


def _logistic(table: Tensor, labels: Tensor, members: int, folds: int, seed: int) -> tuple[Tensor, Tensor]:
    """Starts: the geometric mean of all members, and each member alone, at the temperature that fits best."""
    classes = table.shape[1] // members
    scale = float(table.std().clamp_min(1e-12))  # one for all, so that the penalty is that of all members
    x = torch.cat([table / scale, torch.ones(len(table), 1, dtype=torch.float64)], 1)
    eye = torch.eye(classes, dtype=torch.float64)

    def plain(shares: Tensor) -> Start:
        weight = torch.cat([*(eye * share for share in shares), torch.zeros(classes, 1, dtype=torch.float64)], 1)
        return lambda rows: weight / temperature(x[rows] @ weight.T, labels[rows])

    def loss(weight: Tensor, rows: Tensor) -> Tensor:
        return cross_entropy(x[rows] @ weight.T, labels[rows], reduction="none")

    together = torch.full((members,), 1 / members, dtype=torch.float64)
    starts = [plain(shares) for shares in (together, *torch.eye(members, dtype=torch.float64))]
    weight = shrunk(loss, starts, labels, folds=folds, seed=seed)
    return weight[:, :-1] / scale, weight[:, -1]


def _ridge(table: Tensor, labels: Tensor, members: int, folds: int, seed: int) -> tuple[Tensor, Tensor]:
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold

    classes = table.shape[1] // members
    average = torch.eye(classes, dtype=torch.float64).repeat(1, members) / members  # (C, M·C)
    left = one_hot(labels, classes).double() - table @ average.T
    splits = KFold(folds, shuffle=True, random_state=seed)
    fitted = RidgeCV(alphas=[1.0, 10.0, 100.0, 1e3, 1e4], cv=splits).fit(table.numpy(), left.numpy())
    weight, bias = torch.from_numpy(fitted.coef_) + average, torch.from_numpy(np.atleast_1d(fitted.intercept_))
    scale = temperature(table @ weight.T + bias, labels)
    return weight / scale, bias / scale
