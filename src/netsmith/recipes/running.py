"""``run_recipe``: every step once: verified, kept by what it depends on, and gone on with where it stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import nn

from ..errors import FileError
from ..plans import Plan
from ..reports.filling import machine_facts
from ..reports.record import CandidateRecord, EngineRecord, RunRecord, StepRecord, write_run
from ..reports.run_page import run_report
from ..reports.structure import axes_of, blocks_of
from .chaining import by_first_names
from .keys import keys_of
from .one_step import LOADED, finish_step, load_original, state_of
from .reading import ORIGINAL, NamedStep, read_recipe
from .step_folder import STEPS, Finished, drop_earlier, take_finished
from .work import Work, begin

Progress = Callable[[str, str, int, int], None]
"""(step, what it is doing, done, in all)"""


@dataclass(frozen=True)
class RecipeRun:
    """What a run left.

    Attributes:
        folder: with ``run.json``, and a folder for each step in ``steps/``.
        model: of the last step that made one, in eval mode.
        plan: what made it out of the original; None for an ensemble.
        record: what ``run.json`` says.
    """

    folder: Path
    model: nn.Module
    plan: Plan | None
    record: RunRecord

    @property
    def ok(self) -> bool:
        """Whether every check of every step held."""
        return all(check.status != "failed" for step in self.record.steps for check in step.checks)


def run_recipe(
    recipe: str | os.PathLike[str] | Mapping[str, Any],
    out: str | os.PathLike[str],
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> RecipeRun:
    """Carry out a recipe.

    Each step is verified against the original, with all that was done before it; where a check fails, the run ends
    there. A step's result stays in ``out/steps/NN-name`` and is taken again as long as all that it depends on is the
    same: model, weights, data, options, seed, version, and the steps that it builds on.

    Args:
        recipe: a YAML file, or the mapping that it would hold. Paths in it are relative to the current folder.
        out: folder for the run; new or empty, unless ``resume``.
        resume: ``out`` may hold a run, of which all that still applies is taken.
        progress: called with (step, what it is doing, done, in all).

    Returns:
        The last model, its plan, and the record.

    Raises:
        InputError: the recipe has faults; the message names each with its line.
        FileError: ``out`` holds something, or cannot be written.
        NetsmithError: as the steps' functions raise; the message says in which line the step stands.
        KeyboardInterrupt: as pressed; what is finished is kept.

    Example:
        >>> run = run_recipe("recipe.yaml", "out/run")  # doctest: +SKIP
    """
    read, folder = read_recipe(recipe), Path(out)
    check_folder(folder, resume=resume)
    work = begin(read, folder)
    file = os.fspath(recipe) if isinstance(recipe, str | os.PathLike) else None
    return _Run(work, keys_of(read, work.opened, work.digest), file, progress or (lambda *_: None)).to_the_end()


def check_folder(folder: Path, *, resume: bool) -> None:
    """Refuse a folder that a run must not be written to.

    Raises:
        FileError: it is a file, or holds something and is not to be resumed, or holds something that is no run.
    """
    if folder.is_file():
        raise FileError(f"{folder} is a file; give a folder")
    there = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    inner = (folder / STEPS).iterdir() if (folder / STEPS).is_dir() else ()
    steps = [entry.name for entry in inner if not entry.name.startswith(".")]
    ours = STEPS in there and (LOADED in steps or not steps)
    if there and not ours:
        raise FileError(f"{folder} holds {there[0]!r} and is no run; give a new folder")
    if there and not resume:
        raise FileError(f"{folder} holds a run already; go on with it by --resume (resume=True), or give a new folder")


def folder_names(steps: tuple[NamedStep, ...]) -> dict[str, str]:
    """Name of a step -> name of its folder."""
    return {step.name: f"{number:02}-{step.name}" for number, step in enumerate(steps, start=1)}


class _Run:
    def __init__(self, work: Work, keys: Mapping[str, str], file: str | None, progress: Progress) -> None:
        self.work, self.keys, self.file, self.progress = work, keys, file, progress
        self.steps = tuple(step for step in work.recipe.steps if step.kind != "report")
        self.folders = folder_names(self.steps)
        self.records: list[StepRecord] = []
        self.influence: dict[str, float] = {}
        self.axes: dict[str, float] = {}
        self.engines: tuple[EngineRecord, ...] = ()
        self.candidates: tuple[CandidateRecord, ...] = ()
        self.objectives: tuple[str, str] | None = None
        self.last = ORIGINAL

    def to_the_end(self) -> RecipeRun:
        work = self.work
        try:
            (work.folder / STEPS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"{work.folder} cannot be written ({error.strerror}); give another folder") from error
        wanted = {self.folders[step.name]: self.keys[step.name] for step in self.steps}
        there = take_finished(work.folder, {LOADED: self.keys[ORIGINAL], **wanted})
        if LOADED not in there:
            self.progress("load", "measure", 0, 1)
        self._note(there.get(LOADED) or load_original(work, self.keys[ORIGINAL]), LOADED, cached=LOADED in there)
        for step in self.steps:
            if not self._step(step, there.get(self.folders[step.name])):
                break
        else:
            drop_earlier(work.folder)
        state = work.states[self.last]
        record = self._record(whole=True)
        write_run(work.folder, record)
        if any(step.kind == "report" for step in work.recipe.steps):
            run_report(work.folder)
        return RecipeRun(work.folder, state.model, state.plan, record)

    def _step(self, step: NamedStep, found: Finished | None) -> bool:
        """Take a result or make it; False where a check failed."""
        work, name, done = self.work, self.folders[step.name], None
        finished = found
        if finished is None:
            finished, done = finish_step(
                work, step, self.keys[step.name], name, lambda *told: self.progress(step.name, *told)
            )
        self._note(finished, name, cached=found is not None)
        self._note_influence(step, finished)
        self._note_candidates(finished)
        if "engines" in finished.told:
            self.engines = tuple(EngineRecord.model_validate(each) for each in finished.told["engines"])
        if step.options.changes:
            work.states[step.name] = state_of(work, step, finished, done, name)
            self.last = step.name
        write_run(work.folder, self._record(whole=False))
        return finished.sound

    def _note(self, finished: Finished, name: str, *, cached: bool) -> None:
        """Into the record; a result that was kept may have another number now."""
        now = {"cached": cached, "folder": f"{STEPS}/{name}"}
        self.records.append(finished.record.model_copy(update=now))

    def _note_influence(self, step: NamedStep, finished: Finished) -> None:
        """Influence is told by the names of the model that the step was given; the record has the original's."""
        plan = self.work.states[step.source].plan
        if plan is None or not finished.told:
            return
        self.influence |= by_first_names(finished.told.get("influence", {}), self.work.wiring.parts, plan)
        if step.source == ORIGINAL:
            self.axes |= finished.told.get("axes", {})

    def _note_candidates(self, finished: Finished) -> None:
        """Of a search: structures that were tried, and what its front is drawn over."""
        if "candidates" in finished.told:
            found = [CandidateRecord.model_validate(each) for each in finished.told["candidates"]]
            self.candidates = tuple(found)
            cost, score = finished.told["objectives"]
            self.objectives = (str(cost), str(score))

    def _record(self, *, whole: bool) -> RunRecord:
        work, state = self.work, self.work.states[self.last]
        head = work.recipe.head
        plan = state.plan if whole else None
        return RunRecord(
            title=head.title or f"{head.model}: {', '.join(step.kind for step in self.steps)}",
            kind="recipe",
            model=head.model,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(sum(record.seconds for record in self.records), 1),
            seed=head.seed,
            command=() if self.file is None else (f"netsmith run {self.file} --out {work.folder}",),
            asked=work.recipe.asked(),
            machine=machine_facts(),
            steps=tuple(self.records),
            axes=() if plan is None else axes_of(work.wiring, plan),
            blocks=() if plan is None else blocks_of(work.wiring, plan, influence=self.influence),
            influence_of_axes=self.axes,
            engines=self.engines,
            candidates=self.candidates,
            objectives=self.objectives or ("macs", next(iter(self.records[0].scores), "accuracy")),
        )
