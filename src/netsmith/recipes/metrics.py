"""``metric:`` of a recipe -> a function that scores a model on batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

from ..checks.classification import classification
from ..checks.language import perplexity
from ..errors import UnknownNameError
from ..sources.functions import call_user, find_function
from .steps import scores_of

Metric = Callable[[nn.Module, Iterable[Any]], float | Mapping[str, float]]


def _loss(model: nn.Module, batches: Iterable[Any]) -> dict[str, float]:
    return {"loss": perplexity(model, batches)["loss"]}


OURS: Mapping[str, Metric] = {
    "accuracy": classification,
    "perplexity": perplexity,
    "loss": _loss,
}
LOWER = ("perplexity", "loss")  # is better


def metric_named(name: str) -> Metric:
    """One of ours, or a function of the user's: (model, batches) -> score, higher is better, or several by name.

    Raises:
        UnknownNameError: neither.
    """
    if name in OURS:
        return OURS[name]
    if ":" not in name:
        raise UnknownNameError(
            f"there is no metric {name!r}; there are {', '.join(OURS)}, or give path/file.py:function"
        )
    find_function(name)
    return partial(_addressed, name)


def _addressed(name: str, model: nn.Module, batches: Iterable[Any]) -> Any:
    """Found by its address each time, so that other processes can be sent it."""
    return call_user(name, find_function(name), model, batches)


class Measure:
    """model -> scores by name, each model once."""

    def __init__(self, metric: Metric, batches: Iterable[Any]) -> None:
        self.metric, self.batches = metric, batches
        self._known: WeakKeyDictionary[nn.Module, dict[str, float]] = WeakKeyDictionary()

    def __call__(self, model: nn.Module) -> dict[str, float]:
        if model not in self._known:
            self._known[model] = scores_of(lambda each: self.metric(each, self.batches), model)
        return self._known[model]

    def goal(self, model: nn.Module) -> float:
        """The first of the scores, turned so that higher is better: what training keeps the best weights by.

        Measured anew each time: a model in training is another one after each step.
        """
        ((name, value), *_) = scores_of(lambda each: self.metric(each, self.batches), model).items()
        return -value if name in LOWER else value
