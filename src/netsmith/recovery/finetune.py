"""Fine-tuning: train a changed network on with labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..data.running import call, logits
from ..errors import InputError
from .train import Progress, train


def finetune(
    model: nn.Module,
    data: Iterable[Any],
    *,
    epochs: int,
    lr: float = 0.01,
    loss: Callable[[Tensor, Any], Tensor] = cross_entropy,
    optimizer: str = "sgd",
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    warmup: float = 0.1,
    clip: float | None = 1.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> nn.Module:
    """Train a copy of the model on labelled batches.

    Args:
        model: any module that returns a tensor, or an object with ``.logits``.
        data: batches (x, y) that can be iterated once an epoch.
        loss: (outputs, y) -> scalar.
        epochs, lr, optimizer, momentum, weight_decay, warmup, clip, seed, progress: as in :func:`.train.train`.

    Returns:
        The trained copy, in eval mode; the given model stays as it is.

    Raises:
        InputError: batches without labels, labels that the loss cannot take, and all that ``train`` raises.
        ModelError: as in :func:`.train.train`.

    Example:
        >>> tuned = finetune(small, loader, epochs=5, lr=0.01)  # doctest: +SKIP
    """

    def objective(student: nn.Module, x: Any, y: Any) -> Tensor:
        if y is None:
            raise InputError("fine-tuning needs labels, but a batch has none; give (x, y) batches, or use distil")
        return label_loss(loss, logits(call(student, x)), y)

    return train(
        model,
        data,
        objective,
        epochs=epochs,
        lr=lr,
        optimizer=optimizer,
        momentum=momentum,
        weight_decay=weight_decay,
        warmup=warmup,
        clip=clip,
        seed=seed,
        progress=progress,
    )


def label_loss(loss: Callable[[Tensor, Any], Tensor], scores: Tensor, y: Any) -> Tensor:
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
