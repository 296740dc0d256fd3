"""DIR|MODEL of commands that change a structure: what a command saved is changed further, and its plan goes before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .models import ModelSource
from .training import Subject, open_subject

if TYPE_CHECKING:
    from ..recipes import Result


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
