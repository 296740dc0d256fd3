"""Model soups: the average of many fine-tuned models, or of those that help."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from ..errors import InputError
from .merging_modules import merge_models


@dataclass(frozen=True)
class Soup:
    """What ``greedy_soup`` chose.

    Attributes:
        model: the average.
        members: numbers of the models in it, in the order in which they came.
        score: of the average.
        scores: of each model alone.
    """

    model: nn.Module
    members: tuple[int, ...]
    score: float
    scores: tuple[float, ...]


def uniform_soup(models: Sequence[nn.Module]) -> nn.Module:
    """The plain average of models of one structure.

    Raises:
        InputError, ModelError: as ``merge_models``.

    Source: Wortsman et al., ICML 2022, arXiv:2203.05482.
    """
    return merge_models(models)


def greedy_soup(
    models: Sequence[nn.Module],
    evaluate: Callable[[nn.Module], float],
    *,
    mend: Callable[[nn.Module], nn.Module] | None = None,
) -> Soup:
    """Add models to an average, the best first, keeping each only if the average does not get worse.

    Args:
        models: of one structure, fine-tuned from one; not changed.
        evaluate: model -> score on validation data, higher is better.
        mend: what to do with each average before it is judged, e.g. recompute statistics of batch normalizations.

    Raises:
        InputError: no models.
        ModelError: models of different structure.

    Source: Wortsman et al., ICML 2022, arXiv:2203.05482, recipe 1.
    """
    if not models:
        raise InputError("greedy_soup: give at least one model")
    scores = [float(evaluate(model)) for model in models]
    order = sorted(range(len(models)), key=lambda i: -scores[i])
    members = [order[0]]
    best, score = merge_models([models[order[0]]]), scores[order[0]]
    for number in order[1:]:
        candidate = merge_models([models[i] for i in (*members, number)])
        candidate = mend(candidate) if mend else candidate
        value = float(evaluate(candidate))
        if value >= score:
            members.append(number)
            best, score = candidate, value
    return Soup(best, tuple(members), score, tuple(scores))
