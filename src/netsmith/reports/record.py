"""``run.json``: what a run did, step by step. Recipes, searches and the demo write it; the report is made from it.

Numbers that were not measured are None. Names of parts are those of the original model.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import FileError

RUN = "run.json"
MAX_BYTES = 64 * 2**20

Count = Annotated[int, Field(ge=0)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CostRecord(_Entry):
    """Cost of one model: parameter elements, MACs of one call, bytes, milliseconds of one warm call."""

    params: Count
    macs: Count
    bytes: Count
    latency_ms: Number | None = None
    peak_bytes: Count | None = None


class ClassesRecord(_Entry):
    """How a classifier does on each class: ``confusion[true][predicted]`` counts examples; F1 is in 0..1.

    ``confusion`` is empty where there are so many classes that nobody would read it.
    """

    labels: tuple[str, ...]
    confusion: tuple[tuple[Count, ...], ...]
    f1: tuple[Number, ...]


class AxisRecord(_Entry):
    """Width of one axis before and after the run, in the order in which the original's forward meets them."""

    name: str
    before: Count
    after: Count
    frozen: str | None = None  # why it cannot change, in words


class BlockRecord(_Entry):
    """One block of the original: what became of it, and what was measured of it."""

    name: str
    fate: str = "kept"  # "removed", "replaced by an affine map", ...
    influence: Number | None = None  # nats
    sensitivity: Number | None = None  # error when it alone is reduced or rounded, as ``measure`` says


class CheckRecord(_Entry):
    """One check of ``verify``."""

    name: str
    status: Literal["exact", "exact up to statistics", "stated error", "ok", "failed"]
    detail: str


class EngineRecord(_Entry):
    """One measured row: median milliseconds of the original and of the result in an engine at a precision."""

    engine: str
    precision: str
    batch: Count
    original_ms: Number | None = None
    result_ms: Number | None = None
    difference: Number | None = None  # of the result's outputs from those in eager float32, share of the largest
    why: str | None = None  # why it could not be run, or must not be recommended


class StepRecord(_Entry):
    """One step. The first of a run is the original: kind "load"."""

    name: str
    kind: str
    asked: dict[str, Any] = {}
    seconds: Number = 0.0
    cached: bool = False
    cost: CostRecord | None = None
    predicted_latency_ms: Number | None = None  # of the sum of parts, where a budget of latency was solved
    scores: dict[str, Number] = {}
    classes: ClassesRecord | None = None
    checks: tuple[CheckRecord, ...] = ()
    left: dict[str, str] = {}  # part -> why it was left as it is
    folder: str | None = None  # where the model lies, relative to run.json
    said: tuple[str, ...] = ()  # plain sentences: what was removed, warnings


class CandidateRecord(_Entry):
    """One structure that a search tried."""

    name: str
    origin: str  # strategy, or a competitor's name: "uniform", "random", "torch-pruning"
    cost: CostRecord
    scores: dict[str, Number] = {}
    healed: bool = False
    on_front: bool = False
    chosen: bool = False
    predicted_latency_ms: Number | None = None  # of the sum of parts; the measured one is in cost
    rejected: str | None = None
    plan: str | None = None  # path of its plan, relative to run.json


class RunRecord(_Entry):
    """One run, from loading to the end.

    Attributes:
        title: heading of its report.
        command: shell commands that make it again.
        asked: the recipe or the search as it was given, after defaults.
        machine: processor, threads, torch, netsmith: name -> text.
        seconds: for everything; 0 where nobody counted.
    """

    version: Literal[1] = 1
    title: str
    kind: Literal["recipe", "search", "demo"] = "recipe"
    model: str
    date: str
    seed: int = 0
    command: tuple[str, ...] = ()
    asked: dict[str, Any] = {}
    machine: dict[str, str] = {}
    seconds: Number = 0.0
    steps: tuple[StepRecord, ...] = ()
    axes: tuple[AxisRecord, ...] = ()
    blocks: tuple[BlockRecord, ...] = ()
    influence_of_axes: dict[str, Number] = {}
    engines: tuple[EngineRecord, ...] = ()
    candidates: tuple[CandidateRecord, ...] = ()
    objectives: tuple[str, str] = ("macs", "accuracy")  # what the front is drawn over: a cost, a score


def run_text(run: RunRecord) -> str:
    """What ``run.json`` says."""
    return run.model_dump_json(indent=1) + "\n"


def write_run(folder: Path, run: RunRecord) -> None:
    """Write ``run.json`` into a folder that exists, whole or not at all.

    Raises:
        FileError: it cannot be written.
    """
    path = folder / RUN
    try:
        staged = path.with_suffix(".part")
        staged.write_text(run_text(run), encoding="utf-8")
        staged.replace(path)
    except OSError as error:
        raise FileError(f"{path} cannot be written ({error.strerror}); give another folder") from error


def read_run(folder: Path) -> RunRecord:
    """The run that a folder holds.

    Raises:
        FileError: no ``run.json``, too large, no JSON, or fields missing, unknown or of the wrong type.
    """
    path = folder / RUN
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FileError(f"{path} is larger than {MAX_BYTES:,} bytes; no run.json is")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileError(f"{folder} has no {RUN}; give a folder that a netsmith command wrote") from None
    except (OSError, ValueError, RecursionError) as error:
        raise FileError(f"{path} cannot be read: {error}") from error
    try:
        return RunRecord.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
        raise FileError(f"{path} is no record of a run: {faults}") from error
