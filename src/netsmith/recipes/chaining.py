"""One change after the other: the plan of all that was done to an original, and its verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from ..checks import verify
from ..plans import Plan
from ..training import keep_zeros
from .result import Result


def chained(result: Result, original: nn.Module, before: Plan, example_inputs: Any) -> Result:
    """The result of changing what ``before`` made of the original, as a change of the original."""
    plan = result.plan.after(before)
    return replace(result, plan=plan, verdict=verify(original, result.model, plan, example_inputs))


def held_zeros(model: nn.Module, plan: Plan) -> list[Callable[[nn.Module], None]]:
    """What to call after each training step, so that weights that the plan set to zero stay zero."""
    names: set[str] = set()
    for step in plan.steps:
        passed = {step.renamed(tensor) for tensor in names} | {edit.tensor for edit in step.sparsities}
        names = {tensor for tensor in passed if tensor is not None}
    return [keep_zeros(model, names)] if names else []
