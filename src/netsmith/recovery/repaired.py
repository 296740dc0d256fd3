"""What a repair gives back."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from ..plans import Plan


@dataclass(frozen=True)
class Repaired:
    """A repaired model and the plan that says which of its tensors were refitted.

    Attributes:
        model: the edited model with better weights, in eval mode.
        plan: the plan, ``refitted`` filled in.
        errors: layer -> (held-out error before, after), for every layer that was tried; what did not help was undone.
    """

    model: nn.Module
    plan: Plan
    errors: dict[str, tuple[float, float]]
