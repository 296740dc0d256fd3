"""``ensemble``: models that earlier steps made, and others, as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..combining import ensembles
from ..combining.ensembles.quality import macs_of
from ..errors import InputError
from ..files import load_ensemble, save_ensemble
from ..sources.models import build_structure
from ..wiring import call_model
from ..wiring.recorder import tensors_in
from .doing import other_model
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
    model = _made(options, members, work.batches(options), work)
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


def _made(options: Ensemble, members: dict[str, nn.Module], data: Any, work: Work) -> ensembles.Ensemble:
    x, seed = work.example_inputs, work.seed
    if options.kind == "select":
        best = ensembles.select(members, data, example_inputs=x, seed=seed).best
        if isinstance(best.model, ensembles.Ensemble) and best.kind != "single":
            return best.model
        return ensembles.parallel({best.name: best.model}, rule="logits")
    make: dict[str, Callable[[], ensembles.Ensemble]] = {
        "parallel": lambda: ensembles.parallel(members, rule=options.rule),
        "blend": lambda: ensembles.blend(members, data, method=options.method or "log_loss", seed=seed),
        "stack": lambda: ensembles.stack(members, data, meta=options.method or "logistic", seed=seed),
        "mixture": lambda: ensembles.mixture(members, data, seed=seed),
        "cascade": lambda: ensembles.cascade(
            members,
            data,
            example_inputs=x,
            target_accuracy=options.target_accuracy,
            target_cost=_cost(options.target_cost, members, x),
            measure=options.confidence,
            combine=options.combine,
        ),
    }
    return make[options.kind]()


def _cost(asked: Any, members: dict[str, nn.Module], example_inputs: Any) -> float | None:
    """MACs an example, or "50%" of the last member's."""
    if asked is None:
        return None
    text = str(asked)
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        number = -1.0
    if not 0 < number < float("inf"):
        raise InputError(f"target_cost {asked!r}: write MACs (5000000) or a share of the last member's (50%)")
    if not text.endswith("%"):
        return number
    last = list(members)[-1]
    return number / 100 * macs_of({last: members[last]}, example_inputs)[last]
