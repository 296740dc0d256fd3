"""Accuracy and macro-F1 of a classifier."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..data.running import call, each_batch, eval_mode, logits
from ..errors import InputError, ModelError


@dataclass(frozen=True)
class Answers:
    """(N,) integers each: the right class of every example, and the one with the model's largest score."""

    truth: Tensor
    said: Tensor


def classification(model: nn.Module, batches: Iterable[Any]) -> dict[str, float]:
    """How well the model's largest score names the class.

    Args:
        model: returns (N, C) scores, or an object that has them as ``.logits``. Runs in eval mode without
            gradients; its modes are restored.
        batches: (x, y) with y (N,) integers.

    Returns:
        {"accuracy": share of right answers in 0..1, "f1": F1 averaged over the classes that occur, each alike, 0..1}

    Raises:
        InputError: no batch, batches without labels, scores or labels of another shape.
        ModelError: scores that are not finite.

    Example:
        >>> netsmith.checks.classification(model, batches(digits().test, 256))  # doctest: +SKIP
        {'accuracy': 0.986, 'f1': 0.986}
    """
    return scores_of(answers_of(model, batches))


def answers_of(model: nn.Module, batches: Iterable[Any]) -> Answers:
    """Right and given class of every example; arguments and errors as of ``classification``."""
    truth, said = [], []
    with eval_mode(model), torch.no_grad():
        for x, y in each_batch(batches):
            scores = logits(call(model, x))
            truth.append(_labels(y, scores))
            said.append(scores.argmax(1).cpu())
    return Answers(torch.cat(truth), torch.cat(said))


def scores_of(answers: Answers) -> dict[str, float]:
    """Accuracy and macro-F1, as ``classification`` returns them."""
    # scikit-learn takes a second to import; only those who measure wait.
    from sklearn.metrics import accuracy_score, f1_score

    truth, said = answers.truth.numpy(), answers.said.numpy()
    return {
        "accuracy": float(accuracy_score(truth, said)),
        "f1": float(f1_score(truth, said, average="macro", zero_division=0)),
    }


def _labels(y: Any, scores: Tensor) -> Tensor:
    if not isinstance(y, Tensor):
        raise InputError(f"measuring accuracy needs (x, y) batches with y a tensor of labels, not {type(y).__name__}")
    if scores.ndim != 2 or y.shape != scores.shape[:1] or y.is_floating_point():
        raise InputError(
            f"accuracy compares scores (N, C) with integer labels (N,), not scores {tuple(scores.shape)} with "
            f"labels {tuple(y.shape)} {y.dtype}"
        )
    if not bool(scores.isfinite().all()):
        raise ModelError("the model returns NaN or infinite scores; its accuracy would mean nothing")
    return y.cpu()
