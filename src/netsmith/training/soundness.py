"""What must hold before, while and after training; otherwise one message that says what to mend."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ..data.running import describe
from ..errors import InputError, ModelError
from .rounding import with_rounding


def loss_value(loss: Any, x: Any, *, where: str, lr: float) -> float:
    """The loss as a number.

    Args:
        loss: what the objective returned.
        x: the batch it is of.
        where: "step 3 of 10 (epoch 1)".
        lr: to name what to lower.

    Raises:
        InputError: it is no single finite number that depends on the parameters.
    """
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise InputError(f"the loss must be a single number, not {describe(loss)}; average over the batch")
    if not loss.requires_grad:
        raise InputError(
            "the loss does not depend on any parameter that is trained; check forward and the loss function"
        )
    value = float(loss.detach())
    if not math.isfinite(value):
        tensors = [x] if isinstance(x, Tensor) else list(x.values() if isinstance(x, Mapping) else x)
        if any(isinstance(t, Tensor) and not bool(t.isfinite().all()) for t in tensors):
            raise InputError(f"the batch of {where} holds NaN or infinite inputs; mend the data")
        raise InputError(
            f"the loss is {value} at {where}; lower lr={lr:g} (try {lr / 10:g}), "
            "or clip the gradients more tightly: clip=0.1"
        )
    return value


def score_value(value: Any) -> float:
    """What ``validate`` returned as a number.

    Raises:
        InputError: it is none, or NaN.
    """
    try:
        score = float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"validate returned {value!r:.80}; it must return one number, higher is better") from error
    if math.isnan(score):
        raise InputError("validate returned NaN; it must return one number, higher is better")
    return score


def trainable_copy(model: nn.Module) -> nn.Module:
    """A copy to train, with floats that are rounded in every forward in place of stored integers.

    Raises:
        ModelError: nothing in it can be trained, its weights are not finite, or it cannot be copied.
    """
    try:
        twin = copy.deepcopy(model)
    except Exception as error:  # deepcopy runs the model's own code
        raise ModelError(f"{type(model).__name__} cannot be copied: {type(error).__name__}: {error}") from error
    twin = with_rounding(twin)
    if not any(p.requires_grad for p in twin.parameters()):
        raise ModelError(
            f"{type(model).__name__} has no parameter that requires a gradient; call model.requires_grad_()"
        )
    check_finite(twin, "before training; load a sound checkpoint")
    return twin


def check_finite(model: nn.Module, when: str) -> None:
    """Raise ModelError where weights are NaN or infinite."""
    bad = [name for name, p in model.named_parameters() if not bool(p.detach().isfinite().all())]
    if bad:
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise ModelError(f"{bad[0]}{more} holds NaN or infinite weights {when}")
