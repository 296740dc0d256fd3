"""DIR|MODEL of commands that change a structure: what a command saved is changed further, and its plan goes before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .finishing import keep, tell
from .models import ModelSource
from .saved import refuse_occupied
from .training import Subject, opened_subject

if TYPE_CHECKING:
    from ..recipes import Result
    from ..reports.record import RunRecord
    from .datasets import Evaluation


def open_start(
    what: str, out_dir: Path | None, *, given: ModelSource, original: str | None, trained: bool = True
) -> Subject:
    """The folder or model whose structure is to be read; arguments and errors as of ``opened_subject``.

    Raises:
        FileError: ``out_dir`` is taken, where one is given.
        InputError: the folder stores integers.
    """
    if out_dir is not None:
        refuse_occupied(out_dir)
    subject = opened_subject(what, given=given, original=original, trained=trained)
    if any(step.precisions for step in subject.plan.steps):
        raise InputError(
            f"{what} stores weights as integers, whose structure is not read again; "
            "give the folder that it was made from, and quantize last"
        )
    return subject


def chained(result: Result, subject: Subject) -> Result:
    """The result of changing ``subject.model``, with the plan and the verdict of all that was done to its original."""
    from ..recipes import chaining
    from ..wiring import trace

    original, x = subject.opened.model, subject.opened.example_inputs
    if subject.model is original:
        return result
    if result.influence:
        parts = trace(original, x).parts
        result = replace(result, influence=chaining.by_first_names(result.influence, parts, subject.plan))
    return chaining.chained(result, original, subject.plan, x)


def keep_chained(result: Result, subject: Subject, folder: Path, evaluate: Evaluation | None) -> RunRecord:
    """Save what ``chained`` gave."""
    return keep(result, folder, subject.source, subject.digest, subject.opened, evaluate, start=subject.model)


def finish(
    result: Result,
    subject: Subject,
    folder: Path,
    evaluate: Evaluation | None,
    *,
    as_json: bool,
    more: dict[str, Any] | None = None,
) -> None:
    """Save a result and tell of it; ``more`` stands in the JSON, and behind the table as "name: value"."""
    keep_chained(result, subject, folder, evaluate)
    more = {**(more or {}), "file_bytes": (folder / "model.safetensors").stat().st_size}
    left = dict(result.plan.left)
    below = [f"{name.replace('_', ' ')}: {value:,}" for name, value in more.items()]
    below += [f"left as it is: {name} {why}" for name, why in left.items()]
    told = {"left": left, **more}
    if result.spent is not None:
        told |= {"seconds": round(result.spent.seconds, 1), "peak_bytes": result.spent.peak_bytes}
        below.append(f"Planning and repair took {result.spent}.")
    tell(subject.name, folder, result.steps, result.verdict, as_json=as_json, told=told, below=below)
