"""``ensemble``: models that earlier steps made, and others, as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from ..files import load_ensemble, save_ensemble
from ..sources.models import build_structure
from ..wiring import call_model
from ..wiring.recorder import tensors_in
from .doing import other_model
from .ensembling import Choices, ensemble_of
from .reading import NamedStep
from .schema import Ensemble
from .steps import measured_steps
from .work import Done, State, Tell, Work, other_source


def gather_models(work: Work, step: NamedStep, start: State, key: str, tell: Tell) -> Done:
    """The ensemble that is asked for, fitted on the step's data."""
    assert isinstance(step.options, Ensemble)
    options = step.options
    members = {member_name(text): other_model(work, text) for text in options.members}
    tell("fit", 0, 1)
    how = Choices(
        options.rule,
        options.method,
        options.target_accuracy,
        options.target_cost,
        options.confidence,
        options.combine,
        work.seed,
    )
    model, _ = ensemble_of(options.kind, members, work.batches(options), work.example_inputs, how)
    tell("measure", 0, 1)
    rows = measured_steps({step.name: model}, work.example_inputs, work.measure)
    plans = {}
    for text in options.members:
        plan = work.states[text].plan if text in work.states else None
        if plan is not None and any(part.edits for part in plan.steps) and member_name(text) in model.names:
            plans[member_name(text)] = plan

    def save(folder: Path, beside: Mapping[str, str]) -> None:
        save_ensemble(model, folder, plans=plans, beside=beside)

    said = (f"{type(model).__name__.lower()} of {', '.join(model.names)}",)
    check = ("runs", "ok", "gives finite outputs") if _finite(model, work) else ("runs", "failed", "outputs not finite")
    return Done(model, None, rows, (check,), {"members": list(model.names)}, said, save=save)


def load_gathered(work: Work, options: Ensemble, folder: Path, names: list[str]) -> nn.Module:
    """The ensemble that an earlier run saved."""
    builders: dict[str, Callable[[], nn.Module]] = {}
    for text in options.members:
        if member_name(text) in names:
            builders[member_name(text)] = _builder(work, text)
    return load_ensemble(folder, builders)


def _builder(work: Work, text: str) -> Callable[[], nn.Module]:
    if ":" not in text:
        return work.build
    source = other_source(work.recipe, text)
    return lambda: build_structure(source)


def member_name(text: str) -> str:
    """Of a member: the step's name, or the last word of MODEL."""
    return text.partition("@")[0].replace(".", ":").split(":")[-1]


def _finite(model: nn.Module, work: Work) -> bool:
    with torch.no_grad():
        return all(bool(out.isfinite().all()) for out in tensors_in(call_model(model, work.example_inputs)))
