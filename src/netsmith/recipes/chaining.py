"""One change after the other: the plan of all that was done to an original, its verdict, and what parts are called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from ..checks import verify
from ..plans import Plan
from ..training import keep_zeros
from .result import Result


def chained(result: Result, original: nn.Module, before: Plan, example_inputs: Any) -> Result:
    """The result of changing what ``before`` made of the original, as a change of the original.

    What it was made from is the step "before" then: the original it is not.
    """
    plan = result.plan.after(before)
    first, *rest = result.steps
    steps = (replace(first, name="before"), *rest)
    return replace(result, plan=plan, verdict=verify(original, result.model, plan, example_inputs), steps=steps)


def by_first_names(told: Mapping[str, float], names: Iterable[str], plan: Plan) -> dict[str, float]:
    """What is told of parts of the model that a plan made, by the names of the original's parts."""
    now: dict[str, str | None] = {name: name for name in names}
    for step in plan.steps:
        now = {first: None if name is None else step.renamed(name) for first, name in now.items()}
    return {first: told[name] for first, name in now.items() if name is not None and name in told}


@dataclass(frozen=True, eq=False)
class Earlier:
    """What was done before to the model that a change starts from.

    Attributes:
        original: the model before that.
        plan: what made of it the model that the change starts from.
    """

    original: nn.Module
    plan: Plan


def held_zeros(model: nn.Module, plan: Plan) -> list[Callable[[nn.Module], None]]:
    """What to call after each training step, so that weights that the plan set to zero stay zero."""
    names: set[str] = set()
    for step in plan.steps:
        passed = {step.renamed(tensor) for tensor in names} | {edit.tensor for edit in step.sparsities}
        names = {tensor for tensor in passed if tensor is not None}
    return [keep_zeros(model, names)] if names else []
