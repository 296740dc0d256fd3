"""Accuracy and macro-F1 of a classifier."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ..data.running import call, each_batch, eval_mode, logits
from ..errors import InputError, ModelError


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
    # scikit-learn takes a second to import; only those who measure wait.
    from sklearn.metrics import accuracy_score, f1_score

    right, said, _ = _answers(model, batches)
    return {
        "accuracy": float(accuracy_score(right, said)),
        "f1": float(f1_score(right, said, average="macro", zero_division=0)),
    }


def confusion(model: nn.Module, batches: Iterable[Any]) -> tuple[list[list[int]], list[float]]:
    """How often each class is taken for each, and the F1 of each class.

    Args:
        model, batches: as in ``classification``.

    Returns:
        counts[true][predicted] of examples, C × C; and C values of F1 in 0..1, 0 where a class neither occurs nor is
        predicted.

    Raises:
        InputError, ModelError: as ``classification``; also labels beyond the C scores.
    """
    from sklearn.metrics import confusion_matrix, f1_score

    right, said, classes = _answers(model, batches)
    if right.min() < 0 or right.max() >= classes:
        raise InputError(f"labels go from {right.min()} to {right.max()}, but the model scores {classes} classes")
    names = list(range(classes))
    f1 = f1_score(right, said, labels=names, average=None, zero_division=0)
    return confusion_matrix(right, said, labels=names).tolist(), f1.tolist()


def _answers(model: nn.Module, batches: Iterable[Any]) -> tuple[Any, Any, int]:
    """Right and given answers, (N,) each, and the number of classes."""
    truth, answers, classes = [], [], 0
    with eval_mode(model), torch.no_grad():
        for x, y in each_batch(batches):
            scores = logits(call(model, x))
            truth.append(_labels(y, scores))
            answers.append(scores.argmax(1).cpu())
            classes = int(scores.shape[1])
    return torch.cat(truth).numpy(), torch.cat(answers).numpy(), classes


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
