"""One training loop for everything here that trains: fine-tuning, distillation and regularization differ in their loss.

Accelerate carries mixed precision and several processes; the order of the data, checkpoints and the best weights are
kept here, where they can be made to give the same result after an interruption as without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from ..data.running import device_of
from .loop import AfterStep, Objective, Penalty, Progress, Run, Task, Validate
from .options import Training
from .order import random_state_kept
from .processes import accelerated
from .rounding import with_integers
from .soundness import check_finite, trainable_copy


def train(
    model: nn.Module,
    data: Iterable[Any],
    objective: Objective,
    training: Training,
    *,
    validate: Validate | None = None,
    penalty: Penalty | None = None,
    after_step: Sequence[AfterStep] = (),
    beside: nn.Module | None = None,
    progress: Progress | None = None,
) -> nn.Module:
    """Train a copy of the model; the given one stays as it is.

    Weights that are stored as integers are trained with rounding in the loop (see ``rounding``) and stored again.

    Interrupted at any moment, a run with a checkpoint goes on with ``resume=True`` and ends with the same bits as one
    that was not interrupted, given the same arguments, data and machine. Batches of the pass that was under way are
    gone through again without training. Random numbers that the data draws from numpy or ``random`` are the caller's.

    Under ``accelerate launch`` or ``torchrun`` the processes share the examples of each batch; statistics over a
    batch, as BatchNorm's, are then of each process's share.

    Args:
        model: any module.
        data: batches ``x`` or ``(x, y)`` (see ``data.running``) that can be iterated once a pass.
        objective: what to minimise.
        training: how.
        validate: measures the model in the course of training; the best weights are given back. None: the last ones.
        penalty: added to the loss.
        after_step: what has to hold of the weights (see ``keeping``); called in turn.
        beside: trained along, in place, such as projections that the objective uses.
        progress: called after every step, and once more after a validation between two passes.

    Returns:
        The trained copy, in eval mode.

    Raises:
        InputError: empty data, a one-shot iterator, a batch the model cannot take, or a loss that is not finite: the
            message names the step and what to lower; a checkpoint of another run.
        ModelError: nothing to train, weights that are not finite, or a model that cannot be copied.
        FileError: a checkpoint that is there already, is damaged, or cannot be written.
    """
    result = trainable_copy(model)
    task = Task(result, data, objective, training, validate, penalty, tuple(after_step), beside, progress)
    with accelerated(device_of(result), training.precision) as accelerator:
        device = accelerator.device if accelerator.num_processes > 1 else device_of(result)
        with random_state_kept(device, data):
            Run(task, accelerator, device).to_the_end()
    check_finite(result, f"after training with lr={training.lr:g}; lower lr (try {training.lr / 10:g})")
    return with_integers(result).eval()
