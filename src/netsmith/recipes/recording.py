"""What ``run.json`` says of a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..reports.filling import cost_record
from ..reports.record import CheckRecord, ClassesRecord, StepRecord
from .reading import NamedStep
from .work import Done


def step_record(
    step: NamedStep,
    done: Done,
    *,
    seconds: float,
    more: Mapping[str, Any],
    classes: ClassesRecord | None,
) -> StepRecord:
    """Of a step that came to its end; ``more`` was asked besides its own options."""
    last = done.rows[-1] if done.rows else None
    return StepRecord(
        name=step.name,
        kind=step.kind,
        asked={"from": step.source, **step.options.asked(), **more},
        seconds=round(seconds, 3),
        cost=None if last is None else cost_record(last.cost),
        scores={} if last is None else dict(last.scores),
        classes=classes,
        checks=tuple(CheckRecord(name=n, status=s, detail=d) for n, s, d in done.checks),  # type: ignore[arg-type]
        left=dict(done.left),
        said=done.said,
    )
