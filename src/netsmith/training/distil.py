"""Distillation: a small network learns a large one's outputs. Labels help but are not needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..data.running import call, logits
from ..errors import InputError
from .features import Features
from .finetune import label_loss
from .loop import AfterStep, Progress, Validate
from .losses import softened
from .options import Training, options
from .teachers import Mask, Teacher, masked, one_teacher
from .train import train

DistilLoss = Callable[[Tensor, Tensor, Any], Tensor]
"""(student's outputs, teacher's, labels or None) -> scalar; the classes are the last dimension."""


def distil(
    student: nn.Module,
    teacher: nn.Module | Sequence[nn.Module],
    data: Iterable[Any],
    *,
    loss: DistilLoss | None = None,
    temperature: float | None = None,
    alpha: float = 0.0,
    class_dim: int = -1,
    mask: Mask | None = None,
    features: Mapping[str, str] | None = None,
    feature_weight: float = 1.0,
    cache: str | os.PathLike[str] | None = None,
    validate: Validate | None = None,
    after_step: Sequence[AfterStep] = (),
    progress: Progress | None = None,
    training: Training | None = None,
    **named: Any,
) -> nn.Module:
    """Train a copy of the student towards the teacher's outputs.

    loss = (1 - alpha) · loss(student, teacher) + alpha · cross-entropy(student, y)
           + feature_weight · Σ over pairs of layers of the error of the projected features

    Args:
        student: any module that returns class scores (or an embedding) as a tensor, or an object with ``.logits``.
        teacher: returns outputs of the same shape. Runs in eval mode without gradients; its modes are restored. Of
            several, the mean of their class probabilities is learnt.
        data: batches x or (x, y) that can be iterated once an epoch.
        loss: one of ``training.losses`` or your own; with options of its own by ``functools.partial``. None:
            ``softened``, with
        temperature: its T; None: 4.
        alpha: weight of the labels in [0, 1]; above 0 every batch needs labels.
        class_dim: dimension of the classes in the outputs: -1 for (N, C) and (N, T, C), 1 for (N, C, H, W).
        mask: x -> (N, ...) of all but the classes, false or 0 where padding is, which then is not learnt from.
        features: layer of the student -> layer of the teacher, by module path: the student's is to give, through a
            linear projection that is fitted first and trained along, what the teacher's gives.
        feature_weight: of these, ≥ 0.
        cache: file for the teacher's outputs, made in one pass and read in the others; for a teacher that costs more
            than reading. The inputs must come again bit by bit (in any order): shuffled, but not augmented.
        validate, after_step, progress: as in :func:`.train.train`.
        training: how to train; or
        named: its fields by name, of which ``epochs`` or ``steps`` must be there (see :class:`.options.Training`).

    Returns:
        The trained copy, in eval mode; the given student stays as it is.

    Raises:
        InputError: outputs of different shapes, labels asked for and absent, options out of range, inputs that are not
            in the cache, and all that ``train`` raises.
        ModelError, FileError: as in :func:`.train.train`; a cache of another teacher.

    Example:
        >>> healed = distil(small, original, loader, epochs=5)  # doctest: +SKIP
    """
    how = options(training, named)
    learn = _loss(loss, temperature)
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha is the weight of the labels in [0, 1], not {alpha}")
    if not feature_weight >= 0:
        raise InputError(f"feature_weight must be 0 or more, not {feature_weight}")
    if cache is not None and features:
        raise InputError("features need the teacher itself at every step; give features or cache, not both")

    pairs: Features | None = None

    def objective(model: nn.Module, x: Any, y: Any) -> Tensor:
        if pairs is not None:
            pairs.watch(model)
        with torch.no_grad():
            target = taught(x)
        scores = logits(call(model, x))
        target = target.to(scores)
        if scores.shape != target.shape:
            raise InputError(
                f"student and teacher must return the same shape, not {tuple(scores.shape)} and {tuple(target.shape)}"
            )
        scores, target = scores.movedim(class_dim, -1), target.movedim(class_dim, -1)
        total = (1 - alpha) * learn(*masked(scores, target, y, mask, x))
        if alpha:
            if y is None:
                raise InputError(f"alpha={alpha} weighs labels, but a batch has none; give (x, y) batches, or alpha=0")
            total = total + alpha * label_loss(cross_entropy, scores.movedim(-1, 1), y)
        return total if pairs is None else total + feature_weight * pairs.error()

    whole = one_teacher(teacher)
    with Teacher(whole, data, cache) as taught:
        beside = None
        with ExitStack() as stack:
            if features:
                pairs = stack.enter_context(Features(student, whole, features, data, seed=how.seed))
                beside = pairs.projections
            return train(
                student,
                data,
                objective,
                how,
                validate=validate,
                after_step=after_step,
                beside=beside,
                progress=progress,
            )


def _loss(loss: DistilLoss | None, temperature: float | None) -> DistilLoss:
    if loss is None:
        chosen = 4.0 if temperature is None else temperature
        if not chosen > 0:
            raise InputError(f"temperature must be positive, not {chosen}")
        return partial(softened, temperature=chosen)
    if temperature is not None:
        raise InputError(
            f"temperature={temperature} is of the default loss; give loss=functools.partial(loss, temperature=...)"
        )
    if not callable(loss):
        raise InputError(f"loss is a {type(loss).__name__}; give a function (student, teacher, y) -> scalar")
    return loss
