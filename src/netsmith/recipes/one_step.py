"""One step of a run: done, measured, and kept in its folder, whole or not at all."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import nn

from ..checks.classes import classes_of
from ..errors import NetsmithError
from ..files import load, load_plan, save
from ..files.folder import new_folder
from ..reports.filling import classes_record, cost_record
from ..reports.record import ClassesRecord, StepRecord
from ..sources.saved import SOURCE, source_text
from .doing import change_structure, train
from .gathering import gather_models, load_gathered
from .looking import evaluate, inspect, write_export
from .metrics import Measure, metric_named
from .reading import NamedStep
from .recording import step_record
from .regularize import regularize_units
from .schema import Ensemble, Evaluate
from .searching import search_structures
from .step_folder import CHECKPOINTS, STEP, STEPS, Finished
from .steps import measured_steps
from .work import Done, State, Tell, Work

LOADED = "00-load"

_DO: Mapping[str, Callable[[Work, NamedStep, State, str, Tell], Done]] = {
    "finetune": train,
    "distil": train,
    "regularize": regularize_units,
    "search": search_structures,
    "ensemble": gather_models,
    "evaluate": evaluate,
    "inspect": inspect,
    "export": write_export,
}


def load_original(work: Work, key: str) -> Finished:
    """Cost and scores of the original, kept as a step before the first."""
    begun = time.perf_counter()
    (row,) = measured_steps({"load": work.opened.model}, work.example_inputs, work.measure)
    record = StepRecord(
        name="load",
        kind="load",
        asked=work.recipe.head.model_dump(mode="json", include={"model", "weights", "input"}),
        cost=cost_record(row.cost),
        scores=dict(row.scores),
        classes=_classes(work.opened.model, work.recipe.head.metric, work.measure),
        seconds=round(time.perf_counter() - begun, 3),
    )
    finished = Finished(key, record)
    _write(work.folder / STEPS / LOADED, {STEP: finished.text()})
    return finished


def finish_step(work: Work, step: NamedStep, key: str, name: str, tell: Tell) -> tuple[Finished, Done]:
    """Do a step and keep its result.

    Args:
        work: the run; ``work.states`` has the models of the steps before.
        step: what to do.
        key: of what the result depends on.
        name: of its folder in ``steps``.
        tell: its progress.

    Raises:
        NetsmithError: as the step's function raises; the message says in which line of the recipe it stands.
    """
    begun, start = time.perf_counter(), work.states[step.source]
    tell("begin", 0, 1)
    try:
        done = _DO.get(step.kind, change_structure)(work, step, start, key, tell)
    except NetsmithError as error:
        raise type(error)(f"{work.recipe.document.at(step.place)}: {step.name} cannot be done: {error}") from error
    data = work.recipe.data_of(step.options)
    more = {} if data is None else {"data": data.model_dump(mode="json", exclude_defaults=True)}
    failed = any(status == "failed" for _, status, _ in done.checks)
    classes = None if failed else _classes_of(work, step, done)
    seconds = time.perf_counter() - begun
    record = step_record(step, done, seconds=seconds, more=more, classes=classes)
    finished = Finished(key, record, done.told)
    _keep(work, done, work.folder / STEPS / name, {STEP: finished.text()})
    _drop(work.folder / STEPS / CHECKPOINTS, key)
    return finished, done


def state_of(work: Work, step: NamedStep, finished: Finished, done: Done | None, name: str) -> State:
    """The model that a step made, now or in an earlier run; that of an earlier run is loaded when it is needed."""
    folder = work.folder / STEPS / name
    if done is not None and done.model is not None:
        model = done.model
        return State(step.name, lambda: model, done.plan)
    if isinstance(step.options, Ensemble):
        options, names = step.options, list(finished.told["members"])
        return State(step.name, lambda: load_gathered(work, options, folder, names), None)
    return State(step.name, lambda: load(folder, work.build), load_plan(folder))


def _keep(work: Work, done: Done, folder: Path, beside: Mapping[str, str]) -> None:
    if done.save is not None:
        done.save(folder, beside)
    elif done.model is not None and done.plan is not None:
        text = source_text(work.source, work.digest)
        save(done.model, folder, plan=done.plan, beside={**beside, SOURCE: text})
    else:
        _write(folder, beside)


def _write(folder: Path, files: Mapping[str, str]) -> None:
    with new_folder(folder) as staged:
        for name, text in files.items():
            (staged / name).write_text(text, encoding="utf-8")


def _drop(checkpoints: Path, key: str) -> None:
    shutil.rmtree(checkpoints / key, ignore_errors=True)
    if checkpoints.is_dir() and not any(checkpoints.iterdir()):
        checkpoints.rmdir()


def _classes_of(work: Work, step: NamedStep, done: Done) -> ClassesRecord | None:
    """Of a step that makes or measures a model."""
    if isinstance(step.options, Evaluate):
        data = work.recipe.data_of(step.options)
        assert data is not None  # the recipe was checked
        metric = step.options.metric or work.recipe.head.metric
        return _classes(work.states[step.source].model, metric, Measure(metric_named(metric), work.read(data)))
    return None if done.model is None else _classes(done.model, work.recipe.head.metric, work.measure)


def _classes(model: nn.Module, metric: str, measure: Measure | None) -> ClassesRecord | None:
    """Where accuracy is measured."""
    if metric != "accuracy" or measure is None:
        return None
    return classes_record(classes_of(model, measure.batches))
