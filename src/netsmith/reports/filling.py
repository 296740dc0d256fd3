"""From objects to the record of a run: what every command that saves a model, every recipe and the demo write down."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import torch

from .. import __version__
from ..checks import Verdict
from ..checks.classes import Classes
from ..costs import Cost, Timing
from ..plans.plan import Plan
from ..wiring import Wiring
from .record import CheckRecord, ClassesRecord, CostRecord, EngineRecord, RunRecord, StepRecord
from .steps import StepLike
from .structure import axes_of, blocks_of


class ResultLike(Protocol):
    """What ``record_of`` needs of a recipe's result."""

    @property
    def plan(self) -> Plan: ...
    @property
    def verdict(self) -> Verdict: ...
    @property
    def steps(self) -> Sequence[StepLike]: ...


def record_of(
    result: ResultLike,
    wiring: Wiring | None,
    *,
    title: str,
    model: str,
    kind: Literal["recipe", "search", "demo"] = "recipe",
    command: Sequence[str] = (),
    asked: Mapping[str, Any] | None = None,
    seed: int = 0,
    seconds: float = 0.0,
    classes: Mapping[str, Classes] | None = None,
    influence: Mapping[str, float] | None = None,
    sensitivity: Mapping[str, float] | None = None,
    engines: Sequence[EngineRecord] = (),
) -> RunRecord:
    """The record of one result.

    Args:
        result: of ``shrink``, ``cut``, ... or anything with a plan, a verdict and steps.
        wiring: of the original; None where it cannot be read: the record has no axes and blocks then.
        title: heading of the report.
        model: how the original is named.
        kind, command, asked, seed, seconds: see ``RunRecord``.
        classes: name of a step -> ``classes_of`` the model after it.
        influence, sensitivity: as in ``blocks_of``.
        engines: of ``engines_of``.
    """
    return RunRecord(
        title=title,
        kind=kind,
        model=model,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=seed,
        seconds=round(seconds, 1),
        command=tuple(command),
        asked={name: plain(value) for name, value in (asked or {}).items()},
        machine=machine_facts(),
        steps=steps_of(result.steps, result.verdict, left=result.plan.all_left, classes=classes),
        axes=() if wiring is None else axes_of(wiring, result.plan),
        blocks=blocks_of(wiring, result.plan, influence=influence, sensitivity=sensitivity)
        if wiring is not None
        else (),
        engines=tuple(engines),
    )


def steps_of(
    steps: Sequence[StepLike],
    verdict: Verdict | None = None,
    *,
    left: Mapping[str, str] | None = None,
    classes: Mapping[str, Classes] | None = None,
) -> tuple[StepRecord, ...]:
    """One record a step; the verdict, and what was left as it is, stand with the last.

    Args:
        steps: the original first.
        verdict: of the last model against the original.
        left: part -> why it was left.
        classes: name of a step -> its classes.
    """
    records = []
    for i, step in enumerate(steps):
        last = i == len(steps) - 1
        found = (classes or {}).get(step.name)
        records.append(
            StepRecord(
                name=step.name,
                kind="load" if i == 0 else step.name,
                cost=cost_record(step.cost),
                scores={name: float(value) for name, value in step.scores.items() if math.isfinite(value)},
                classes=None if found is None else classes_record(found),
                checks=checks_of(verdict) if last and verdict is not None else (),
                left=dict(left or {}) if last else {},
            )
        )
    return tuple(records)


def cost_record(cost: Cost) -> CostRecord:
    """The same numbers, as they are written down."""
    return CostRecord.model_validate(cost.as_dict())


def checks_of(verdict: Verdict) -> tuple[CheckRecord, ...]:
    """Every check of ``verify``."""
    return tuple(CheckRecord(name=c.name, status=c.status, detail=c.detail) for c in verdict.checks)


def classes_record(classes: Classes) -> ClassesRecord:
    """The same numbers, as they are written down."""
    return ClassesRecord(labels=classes.labels, confusion=classes.confusion, f1=classes.f1)


def engines_of(timings: Iterable[Timing], *, batch: int, original: str, result: str) -> tuple[EngineRecord, ...]:
    """One row an engine and precision.

    Args:
        timings: of ``costs.compare_engines``.
        batch: examples of one call.
        original, result: names of the two models in the timings.
    """
    found = {(t.engine, t.precision, t.model): t for t in timings}
    rows = []
    for engine, precision in dict.fromkeys((engine, precision) for engine, precision, _ in found):
        before, after = (found.get((engine, precision, name)) for name in (original, result))
        shown = after or before
        difference = None if after is None or after.difference is None else after.difference
        wild = difference is not None and not math.isfinite(difference)
        rows.append(
            EngineRecord(
                engine=engine,
                precision=precision,
                batch=batch,
                original_ms=before.latency_ms if before else None,
                result_ms=after.latency_ms if after else None,
                difference=None if wild else difference,
                why="its outputs are others" if wild else (shown.why if shown else "") or None,
            )
        )
    return tuple(rows)


def machine_facts() -> dict[str, str]:
    """Processor, cores, threads, system, accelerator, Python, torch and netsmith."""
    facts = {
        "processor": _processor(),
        "threads": str(torch.get_num_threads()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "netsmith": __version__,
    }
    return facts | ({"accelerator": torch.cuda.get_device_name()} if torch.cuda.is_available() else {})


def plain(value: Any) -> Any:
    """A value as JSON can hold it: numbers, text, lists and mappings stay, anything else becomes text."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _processor() -> str:
    """The processor's name; its architecture where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
