"""What every command that makes a model does at its end: save, tell, and exit with 1 where a promise is not kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..errors import NetsmithError
from .called import asked, command_line, command_name
from .group import FAILED
from .models import ModelSource, OpenModel
from .output import emit_json, note, out
from .saved import SOURCE, source_text
from .verify import verdict_json, verdict_table

if TYPE_CHECKING:
    from torch import nn

    from ..checks import Verdict
    from ..recipes import Result, Step
    from ..reports.record import RunRecord
    from ..wiring import Wiring
    from .datasets import Evaluation


def keep(
    result: Result,
    folder: Path,
    source: ModelSource,
    digest: str,
    opened: OpenModel,
    evaluate: Evaluation | None = None,
    *,
    start: nn.Module | None = None,
    beside: Mapping[str, str] | None = None,
) -> RunRecord:
    """Save a model with its plan, how its original is built, and the record of the run: a folder, whole or not at all.

    Args:
        result: what to save.
        folder: new.
        source, digest: how the original is built, and of which weights.
        opened: the original.
        evaluate: what the steps were scored with.
        start: the model of the first step; None: the original.
        beside: name -> text of further files for the folder.

    Returns:
        The record.
    """
    from ..files import save
    from ..reports.record import RUN, run_text

    run = _record(result, source, opened, evaluate, start or opened.model)
    told = {**(beside or {}), SOURCE: source_text(source, digest), RUN: run_text(run)}
    save(result.model, folder, plan=result.plan, beside=told)
    return run


def _record(
    result: Result, source: ModelSource, opened: OpenModel, evaluate: Evaluation | None, start: nn.Module
) -> RunRecord:
    from ..reports.filling import record_of

    options = asked()
    ends = {result.steps[0].name: start, result.steps[-1].name: result.model}
    found = {name: evaluate.classes(model) for name, model in ends.items()} if evaluate is not None else {}
    record = record_of(
        result,
        _wiring(opened),
        title=f"{command_name()}: {source.model}",
        model=source.model,
        command=[command_line()],
        asked=options,
        seed=options.get("seed", source.seed),
        classes={name: classes for name, classes in found.items() if classes is not None},
        influence=result.influence if options.get("influence", "divergence") == "divergence" else None,
    )
    if result.spent is None:
        return record
    *others, last = record.steps
    said = (*last.said, f"Planning and repair took {result.spent}.")
    return record.model_copy(update={"steps": (*others, last.model_copy(update={"said": said}))})


def _wiring(opened: OpenModel) -> Wiring | None:
    """Of the original; None where it cannot be read: what was made of it, perhaps in hours, is saved all the same."""
    from ..wiring import trace

    try:
        return trace(opened.model, opened.example_inputs)
    except NetsmithError as error:
        note(f"run.json tells of no widths and blocks: {error}")
        return None


def tell(
    name: str,
    folder: Path,
    steps: Sequence[Step],
    verdict: Verdict,
    *,
    as_json: bool,
    told: Mapping[str, Any] | None = None,
    above: Iterable[str] = (),
    below: Iterable[str] = (),
) -> None:
    """Report a saved result.

    Args:
        name: of the model, as on the command line.
        folder: where it was saved.
        steps: cost and scores of each.
        verdict: of ``verify``.
        as_json: as JSON; else as text.
        told: what the JSON says besides, by key.
        above, below: lines of text before and behind the table of steps.

    Raises:
        typer.Exit: with 1, when all is told, if a check failed.
    """
    from ..reports import steps_json, steps_table

    if as_json:
        found = {"steps": steps_json(steps), "verdict": verdict_json(verdict)}
        emit_json({"model": name, "folder": str(folder), **(told or {}), **found})
    else:
        console = out()
        for line in above:
            console.print(line, markup=False, soft_wrap=True)
        console.print(steps_table(steps, title=name))
        for line in below:
            console.print(line, markup=False, soft_wrap=True)
        console.print(verdict_table(verdict))
        console.print(
            f"Saved in {folder}. Check it again with:  netsmith verify {folder}", markup=False, soft_wrap=True
        )
    if not verdict.ok:
        raise typer.Exit(FAILED)
