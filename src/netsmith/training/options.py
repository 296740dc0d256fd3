"""How to train: everything that fine-tuning, distillation and regularization have in common."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..errors import InputError

OPTIMIZERS = ("sgd", "adamw")
PRECISIONS = ("no", "bf16", "fp16")


@dataclass(frozen=True)
class Training:
    """Options of one training run.

    The learning rate climbs linearly to ``lr`` over the first ``warmup`` of all steps and falls to zero along a cosine.
    One step is one update of the weights, by ``accumulate`` batches of the data.

    Attributes:
        epochs: passes over the data, ≥ 1; or instead
        steps: updates of the weights, ≥ 1, in as many passes as that takes.
        lr: peak learning rate, > 0.
        optimizer: "sgd" (Nesterov momentum) or "adamw".
        momentum: in [0, 1), of "sgd".
        weight_decay: ≥ 0; decoupled with "adamw". It spares vectors (biases, normalization scales).
        warmup: share of the steps in [0, 1).
        clip: largest norm of all gradients together; None: as they are.
        accumulate: batches a step, ≥ 1: the same step as by one batch of all their examples.
        precision: of forward and loss: "bf16", "fp16" (with loss scaling; not on a CPU), or "no" for that of the model.
        validate_every: steps between validations, ≥ 1; None: after every pass over the data.
        patience: stop after so many validations without a new best, ≥ 1; None: never.
        seed: of dropout and of shuffling, ≥ 0; each pass over the data starts from a seed of its own.
        checkpoint: folder for ``checkpoint.safetensors``; None: no checkpoints.
        checkpoint_every: steps between checkpoints, ≥ 1: at most so many are lost when the process dies.
        resume: go on from the checkpoint, if there is one.
    """

    epochs: int | None = None
    steps: int | None = None
    lr: float = 0.01
    optimizer: str = "sgd"
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: float = 0.1
    clip: float | None = 1.0
    accumulate: int = 1
    precision: str = "no"
    validate_every: int | None = None
    patience: int | None = None
    seed: int = 0
    checkpoint: str | os.PathLike[str] | None = None
    checkpoint_every: int = 100
    resume: bool = False

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise InputError("say how long to train: give epochs or steps, one of the two")
        for name in ("epochs", "steps", "accumulate", "validate_every", "patience", "checkpoint_every"):
            value = getattr(self, name)
            optional = name not in ("accumulate", "checkpoint_every")
            if not (optional and value is None) and (type(value) is not int or value < 1):
                raise InputError(f"{name} must be at least 1, not {value!r}")
        if type(self.seed) is not int or self.seed < 0:
            raise InputError(f"seed must be an int ≥ 0, not {self.seed!r}")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise InputError(f"lr must be a positive number, not {self.lr}")
        if self.optimizer not in OPTIMIZERS:
            raise InputError(f"optimizer={self.optimizer!r} is unknown; there are 'sgd' and 'adamw'")
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum must lie in [0, 1), not {self.momentum}")
        if not self.weight_decay >= 0:
            raise InputError(f"weight_decay must be 0 or more, not {self.weight_decay}")
        if not 0 <= self.warmup < 1:
            raise InputError(f"warmup is a share of all steps in [0, 1), not {self.warmup}")
        if self.clip is not None and not self.clip > 0:
            raise InputError(f"clip must be positive or None, not {self.clip}")
        if self.precision not in PRECISIONS:
            raise InputError(f"precision={self.precision!r} is unknown; there are {', '.join(map(repr, PRECISIONS))}")
        if self.resume and self.checkpoint is None:
            raise InputError(
                "to resume, name the folder of the checkpoint: checkpoint='out/run' (--checkpoint out/run)"
            )

    @property
    def folder(self) -> Path | None:
        """Of the checkpoint."""
        return None if self.checkpoint is None else Path(self.checkpoint)

    def deciding(self) -> dict[str, Any]:
        """What the result depends on: all but how it is kept."""
        kept = ("checkpoint", "checkpoint_every", "resume")
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in kept}


def options(training: Training | None, named: dict[str, Any]) -> Training:
    """``training``, or the options given by name.

    Raises:
        InputError: both, a name that is no option, or a value out of range.
    """
    if training is not None:
        if named:
            raise InputError(f"give training=Training(...) or single options, not both ({', '.join(sorted(named))})")
        if not isinstance(training, Training):
            raise InputError(f"training is a {type(training).__name__}; give netsmith.training.Training(...)")
        return training
    known = [f.name for f in fields(Training)]
    for name in named:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            raise InputError(f"{name!r} is no option of training; {hint}")
    return Training(**named)
