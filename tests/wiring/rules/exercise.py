"""Runs a rule against nature: removes units of every free axis around a function and lets ``verify`` decide.

The function's tensors are parameters, each element of its result is weighed by another parameter and the sum is the
output. So every dimension of every tensor is an axis that may change, unless the rule says otherwise, and a rule that
ties the wrong units changes the output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

import netsmith
from netsmith.wiring import Wiring
from netsmith.wiring.recorder import tensors_in

Function = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """One call of a function.

    Attributes:
        name: the entry of ``DEFAULT_RULES`` that reads it.
        function: of the tensors.
        shapes: of the tensors.
        free: how many axes of size > 1 of these tensors the rule must leave free.
        changed: how many of them a plan changes; None: all. Of a product one factor is changed.
        label: where one name has several cases.
    """

    name: str
    function: Function
    shapes: tuple[tuple[int, ...], ...]
    free: int
    changed: int | None = None
    label: str = ""

    def __str__(self) -> str:
        return f"{self.name}{f' ({self.label})' if self.label else ''}"


class Term(nn.Module):
    """sum(weights * function(*tensors)): a number."""

    def __init__(self, function: Function, shapes: Sequence[Sequence[int]], generator: torch.Generator):
        super().__init__()
        self.function = function
        self.tensors = nn.ParameterList(torch.randn(*s, generator=generator) for s in shapes)
        with torch.no_grad():
            outs = tensors_in(self.applied())
        self.weights = nn.ParameterList(torch.randn(o.shape, generator=generator) for o in outs)

    def applied(self) -> Any:
        # a leaf that wants gradients cannot be written in place
        return self.function(*(t * 1 for t in self.tensors))

    def forward(self) -> torch.Tensor:
        outs = tensors_in(self.applied())
        return sum((out * weight).sum() for out, weight in zip(outs, self.weights, strict=True))  # type: ignore[return-value]


class Terms(nn.Module):
    def __init__(self, cases: Sequence[Case]):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.terms = nn.ModuleList(Term(c.function, c.shapes, generator) for c in cases)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [term() * x for term in self.terms]


def exercise(cases: Sequence[Case]) -> None:
    """Fail unless every rule is right and frees what its case says."""
    faults = _faults(cases)
    if faults and len(cases) > 1:
        faults = [f"{case}: {fault}" for case in cases for fault in _faults([case])] or faults
    assert not faults, "\n".join(faults)


def _faults(cases: Sequence[Case]) -> list[str]:
    model, x = Terms(cases).eval(), torch.ones(1)
    wiring = netsmith.trace(model, x)
    plan = netsmith.plan_removal(wiring, keep=0.5)
    faults = []
    for i, case in enumerate(cases):
        faults += _about(case, i, wiring, {edit.axis for edit in plan.edits})
    small = netsmith.apply(model, plan)
    verdict = netsmith.verify(model, small, plan, x)
    if not verdict.ok:
        faults.append(f"{verdict}\n{plan}")
    return faults


def _about(case: Case, index: int, wiring: Wiring, changed: set[str]) -> list[str]:
    faults = []
    called = {call.name if call.name.startswith("__") else call.name.removesuffix("_") for call in wiring.calls}
    if case.name not in called:
        faults.append(f"{case.name} was not called, only {sorted(called)}")
    faults += [f"no rule: {u}" for u in wiring.unsupported]
    here = f"terms.{index}.tensors."
    free = {a.name for a in wiring.free_axes if a.size > 1 and any(m.tensor.startswith(here) for m in a.members)}
    if len(free) != case.free:
        why = [f"{a.name}: {a.frozen}" for a in wiring.axes if a.frozen and a.name.startswith(here)]
        faults.append(f"{len(free)} axes are free, not {case.free}: {sorted(free)} {why}")
    expected = case.free if case.changed is None else case.changed
    if len(free & changed) != expected:
        faults.append(f"{len(free & changed)} axes were changed, not {expected}")
    return faults
