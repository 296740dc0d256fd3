"""What ``shrink`` gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn

from ..checks import Verdict
from ..costs import Cost
from ..costs.spending import Spent
from ..plans import Plan


@dataclass(frozen=True)
class Step:
    """One row of the table.

    Attributes:
        name: "original", "prune", "repair" or "heal".
        cost: of the model after the step.
        scores: what ``evaluate`` said of it; empty without ``evaluate``.
    """

    name: str
    cost: Cost
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Result:
    """A smaller model and how it came about.

    Attributes:
        model: the result, in eval mode.
        plan: what was changed, and which tensors were refitted; ``save`` wants it.
        verdict: what ``verify`` found.
        steps: cost and scores after each step.
        influence: of each block and branch of the original, where ``cut`` measured it.
        spent: what planning and repair with data took, where ``shrink`` measured it.
    """

    model: nn.Module
    plan: Plan
    verdict: Verdict
    steps: tuple[Step, ...]
    influence: Mapping[str, float] = field(default_factory=dict)
    spent: Spent | None = None

    def __str__(self) -> str:
        lines = [
            f"{step.name:<10} {step.cost}" + "".join(f", {k} {v:.4f}" for k, v in step.scores.items())
            for step in self.steps
        ]
        took = [] if self.spent is None else [f"planning and repair took {self.spent}"]
        return "\n".join([*lines, *took, str(self.verdict)])
