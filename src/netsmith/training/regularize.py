"""Regularization: train on while a penalty drives weights or whole units to zero."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..errors import InputError
from .finetune import Loss, labelled
from .loop import AfterStep, Penalty, Progress, Validate
from .options import Training, options
from .train import train


def regularize(
    model: nn.Module,
    data: Iterable[Any],
    *,
    penalty: Penalty | Sequence[Penalty],
    loss: Loss = cross_entropy,
    validate: Validate | None = None,
    after_step: Sequence[AfterStep] = (),
    progress: Progress | None = None,
    training: Training | None = None,
    **named: Any,
) -> nn.Module:
    """Fine-tune a copy of the model under one or several penalties.

    Args:
        model: any module that returns a tensor, or an object with ``.logits``.
        data: batches (x, y) that can be iterated once an epoch.
        penalty: of ``training.penalties``, or your own ``(model, steps done) -> scalar``; several are added.
        loss, validate, after_step, progress: as in ``finetune``.
        training: how to train; or
        named: its fields by name, of which ``epochs`` or ``steps`` must be there (see :class:`.options.Training`).

    Returns:
        The trained copy, in eval mode; ``plans.plan_threshold(trace(...))`` removes what went to zero.

    Raises:
        InputError: a penalty that is no function, and all that ``finetune`` raises.
        ModelError, FileError: as in ``finetune``.
    """
    how = options(training, named)
    penalties = [penalty] if callable(penalty) else list(penalty) if isinstance(penalty, Iterable) else [penalty]
    if not penalties or not all(callable(each) for each in penalties):
        raise InputError("penalty must be a function (model, steps done) -> scalar, or several of them")

    def together(trained: nn.Module, step: int) -> Tensor:
        first, *more = (each(trained, step) for each in penalties)
        return sum(more, start=first)

    return train(
        model,
        data,
        labelled(loss),
        how,
        validate=validate,
        penalty=together,
        after_step=after_step,
        progress=progress,
    )
