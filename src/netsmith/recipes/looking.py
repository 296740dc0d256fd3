"""Steps that leave the model as it is: ``evaluate``, ``inspect``, ``export``."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..evidence import influence
from ..files import export
from ..searches.axis_influence import axis_influence
from ..wiring import Branch, trace
from .metrics import metric_named
from .reading import NamedStep
from .schema import Evaluate, Export, Inspect
from .step_folder import STEPS
from .steps import measured_steps
from .timing import timed_engines
from .work import Done, State, Tell, Work


def evaluate(work: Work, step: NamedStep, start: State, key: str, tell: Tell) -> Done:
    """Scores on data of the step's own, e.g. the test set."""
    assert isinstance(step.options, Evaluate)
    metric = metric_named(step.options.metric or work.recipe.head.metric)
    data = work.recipe.data_of(step.options)
    assert data is not None  # the recipe was checked
    tell("measure", 0, 1)
    batches = work.read(data)
    rows = measured_steps({step.name: start.model}, work.example_inputs, lambda model: metric(model, batches))
    said, told = [f"measured on {data.name}"], {}
    if step.options.engines:
        told["engines"], notes = timed_engines(work, step.options, start, tell)
        said += notes
    return Done(rows=rows, told=told, said=tuple(said))


def inspect(work: Work, step: NamedStep, start: State, key: str, tell: Tell) -> Done:
    """What may change, what is frozen and why; how much the outputs depend on each block, if asked."""
    assert isinstance(step.options, Inspect)
    tell("trace", 0, 1)
    wiring = trace(start.model, work.example_inputs)
    free = len(wiring.free_axes)
    said = [f"{free} of {len(wiring.axes)} axes may change; {wiring.free_share():.0%} of the parameters lie on them"]
    said += [
        f"no rule for {u.function}: {u.calls} calls froze {u.axes} axes, first in {u.first}" for u in wiring.unsupported
    ]
    told: dict[str, Any] = {}
    if step.options.influence:
        parts = wiring.parts.items()
        names = [n for n, part in parts if part.kept is None and (part.residual or isinstance(part, Branch))]
        data = list(work.needed(step.options))
        told["influence"] = influence(
            wiring, data, blocks=names, progress=lambda done, total, _: tell("influence of blocks", done, total)
        )
        told["axes"] = axis_influence(
            wiring, data, seed=work.seed, progress=lambda done, total, _: tell("influence of axes", done, total)
        )
    left = {axis.name: axis.frozen for axis in wiring.axes if axis.frozen is not None}
    return Done(told=told, said=tuple(said), left=left)


def write_export(work: Work, step: NamedStep, start: State, key: str, tell: Tell) -> Done:
    """A file for another engine, run and compared before it counts."""
    assert isinstance(step.options, Export)
    options = step.options
    staged = work.folder / STEPS / f".{key}.tmp"
    shutil.rmtree(staged, ignore_errors=True)
    tell("export", 0, 1)
    done = export(
        start.model,
        work.example_inputs,
        staged / options.to,
        to=options.to,
        calibration=work.needed(options) if options.int8 else None,
        free_batch=options.free_batch,
    )

    def save(folder: Path, beside: Mapping[str, str]) -> None:
        for name, text in beside.items():
            (staged / name).write_text(text, encoding="utf-8")
        staged.rename(folder)

    said = (
        f"{options.to}/{done.file}: {done.bytes:,} bytes, {done.precision}; its outputs differ from the model's by "
        f"{done.largest_difference:.1e} of the largest at most"
    )
    return Done(said=(said,), save=save)
