"""Fine-tuning: train a changed network on with labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..data.running import call, logits
from ..errors import InputError
from .loop import AfterStep, Objective, Progress, Validate
from .options import Training, options
from .train import train

Loss = Callable[[Tensor, Any], Tensor]
"""(outputs, labels) -> scalar, averaged over the examples."""


def finetune(
    model: nn.Module,
    data: Iterable[Any],
    *,
    loss: Loss = cross_entropy,
    validate: Validate | None = None,
    after_step: Sequence[AfterStep] = (),
    progress: Progress | None = None,
    training: Training | None = None,
    **named: Any,
) -> nn.Module:
    """Train a copy of the model on labelled batches.

    Args:
        model: any module that returns a tensor, or an object with ``.logits``.
        data: batches (x, y) that can be iterated once an epoch.
        loss: what to minimise.
        validate, after_step, progress: as in :func:`.train.train`.
        training: how to train; or
        named: its fields by name, of which ``epochs`` or ``steps`` must be there (see :class:`.options.Training`).

    Returns:
        The trained copy, in eval mode; the given model stays as it is.

    Raises:
        InputError: batches without labels, labels that the loss cannot take, and all that ``train`` raises.
        ModelError, FileError: as in :func:`.train.train`.

    Example:
        >>> tuned = finetune(small, loader, epochs=5, lr=0.01)  # doctest: +SKIP
    """
    how = options(training, named)
    return train(model, data, labelled(loss), how, validate=validate, after_step=after_step, progress=progress)


def labelled(loss: Loss) -> Objective:
    """The loss of a model's outputs against the labels of a batch."""

    def objective(student: nn.Module, x: Any, y: Any) -> Tensor:
        if y is None:
            raise InputError("fine-tuning needs labels, but a batch has none; give (x, y) batches, or use distil")
        return label_loss(loss, logits(call(student, x)), y)

    return objective


def label_loss(loss: Loss, scores: Tensor, y: Any) -> Tensor:
    """``loss(scores, y)``; an InputError that names shapes and labels where the two do not fit."""
    try:
        return loss(scores, y)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        given = f"tensor {tuple(y.shape)} {y.dtype}" if isinstance(y, Tensor) else type(y).__name__
        reach = f", from {y.min()} to {y.max()}" if isinstance(y, Tensor) and y.numel() else ""
        raise InputError(
            f"the loss cannot compare outputs {tuple(scores.shape)} with labels {given}{reach}: "
            f"{type(error).__name__}: {error}"
        ) from error
