"""Distillation: a small network learns a large one's outputs. Labels help but are not needed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from ..data.running import call, eval_mode, logits
from ..errors import InputError
from .finetune import label_loss
from .train import Progress, train


def distil(
    student: nn.Module,
    teacher: nn.Module,
    data: Iterable[Any],
    *,
    epochs: int,
    lr: float = 0.01,
    temperature: float = 4.0,
    alpha: float = 0.0,
    class_dim: int = -1,
    optimizer: str = "sgd",
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    warmup: float = 0.1,
    clip: float | None = 1.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> nn.Module:
    """Train a copy of the student towards the teacher's class probabilities.

    loss = (1 - alpha) · T² · KL(softmax(teacher/T) ‖ softmax(student/T)) + alpha · cross-entropy(student, y)

    Args:
        student: any module that returns class scores as a tensor, or an object with ``.logits``.
        teacher: returns scores of the same shape. Runs in eval mode without gradients; its modes are restored.
        data: batches x or (x, y) that can be iterated once an epoch.
        temperature: T > 0; higher shows more of what the teacher thinks of the wrong classes.
        alpha: weight of the labels in [0, 1]; above 0 every batch needs labels.
        class_dim: dimension of the classes in the outputs: -1 for (N, C) and (N, T, C), 1 for (N, C, H, W).
        epochs, lr, optimizer, momentum, weight_decay, warmup, clip, seed, progress: as in :func:`.train.train`.

    Returns:
        The trained copy, in eval mode; the given student stays as it is.

    Raises:
        InputError: outputs of different shapes, labels asked for and absent, options out of range, and all that
            ``train`` raises.
        ModelError: as in :func:`.train.train`.

    Source: Hinton, Vinyals & Dean 2015, arXiv:1503.02531; T² keeps the gradient's size when T changes.
    """
    if not temperature > 0:
        raise InputError(f"temperature must be positive, not {temperature}")
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha is the weight of the labels in [0, 1], not {alpha}")

    def objective(model: nn.Module, x: Any, y: Any) -> Tensor:
        scores = logits(call(model, x))
        with torch.no_grad():
            target = logits(call(teacher, x)).to(scores.device)
        if scores.shape != target.shape:
            raise InputError(
                f"student and teacher must return the same shape, not {tuple(scores.shape)} and {tuple(target.shape)}"
            )
        loss = (1 - alpha) * softened_divergence(scores, target, temperature, class_dim)
        if alpha:
            if y is None:
                raise InputError(f"alpha={alpha} weighs labels, but a batch has none; give (x, y) batches, or alpha=0")
            loss = loss + alpha * label_loss(cross_entropy, scores.movedim(class_dim, 1), y)
        return loss

    with eval_mode(teacher):
        return train(
            student,
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


def softened_divergence(student: Tensor, teacher: Tensor, temperature: float, class_dim: int = -1) -> Tensor:
    """T² · KL(softmax(teacher/T) ‖ softmax(student/T)), mean over all but the class dimension, in nats; ≥ 0."""
    ours = log_softmax(student / temperature, dim=class_dim)
    theirs = log_softmax(teacher / temperature, dim=class_dim)
    per_class = kl_div(ours, theirs, reduction="none", log_target=True)
    return temperature**2 * per_class.sum(class_dim).mean()
