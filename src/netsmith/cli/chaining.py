"""DIR|MODEL of commands that change a structure: what a command saved is changed further, and its plan goes before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .finishing import keep, tell
from .models import ModelSource
from .training import Subject, open_subject

if TYPE_CHECKING:
    from ..recipes import Result
    from .datasets import Evaluation


def open_start(what: str, out_dir: Path, *, given: ModelSource, original: str | None) -> Subject:
    """The folder or model to change; arguments and errors as of ``open_subject``.

    Raises:
        InputError: the folder stores integers.
    """
    subject = open_subject(what, out_dir, given=given, original=original)
    if any(step.precisions for step in subject.plan.steps):
        raise InputError(
            f"{what} stores weights as integers, whose structure is not read again; "
            "give the folder that it was made from, and quantize last"
        )
    return subject


def chained(result: Result, subject: Subject) -> Result:
    """The result of changing ``subject.model``, with the plan and the verdict of all that was done to its original."""
    from ..checks import verify

    if subject.model is subject.opened.model:
        return result
    plan = result.plan.after(subject.plan)
    verdict = verify(subject.opened.model, result.model, plan, subject.opened.example_inputs)
    return replace(result, plan=plan, verdict=verdict)


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
    keep(result, folder, subject.source, subject.digest, subject.opened, evaluate, start=subject.model)
    more = {**(more or {}), "file_bytes": (folder / "model.safetensors").stat().st_size}
    left = dict(result.plan.left)
    below = [f"{name.replace('_', ' ')}: {value:,}" for name, value in more.items()]
    below += [f"left as it is: {name} {why}" for name, why in left.items()]
    told = {"left": left, **more}
    tell(subject.name, folder, result.steps, result.verdict, as_json=as_json, told=told, below=below)
