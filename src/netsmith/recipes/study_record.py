"""A study as ``run.json`` and as a folder: every candidate's record, and the front as saved models."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FileError
from ..files import save
from ..reports.filling import cost_record, record_of
from ..reports.record import CandidateRecord, RunRecord, write_run
from ..searches.candidate import Candidate
from ..wiring import trace
from .chaining import by_first_names

if TYPE_CHECKING:
    from .study import Study

FRONT, CANDIDATES = "front", "candidates.json"


def study_record(
    study: Study,
    *,
    title: str = "search",
    model: str = "",
    command: Sequence[str] = (),
    asked: Mapping[str, Any] | None = None,
    plans: Mapping[str, str] | None = None,
) -> RunRecord:
    """The record of a study; its axes, blocks and checks are those of the best candidate of the first budget kept.

    Args:
        study: finished.
        title, model, command, asked: see ``RunRecord``; asked: what the study was asked.
        plans: name of a candidate -> path of its plan, relative to run.json.
    """
    front = {candidate.name for candidate in study.front(study.cost)}
    best = study.chosen()
    wiring, influence = study.workbench.wiring, study.influence
    if study.earlier is not None:
        wiring = trace(study.earlier.original, study.workbench.example_inputs)
        influence = by_first_names(influence, wiring.parts, study.earlier.plan)
    record = record_of(
        study.build(best[0]),
        wiring,
        title=title,
        model=model or type(study.workbench.model).__name__,
        kind="search",
        command=command,
        asked=asked if asked is not None else study.asked,
        seed=int(study.asked["seed"]),
        seconds=study.seconds,
        influence=influence or None,
    )
    names = {candidate.name for candidate in best}
    candidates = tuple(
        CandidateRecord(
            name=candidate.name,
            origin=candidate.origin,
            cost=cost_record(candidate.cost),
            scores={name: value for name, value in candidate.scores.items() if math.isfinite(value)},
            healed=candidate.healed,
            on_front=candidate.name in front,
            chosen=candidate.name in names,
            predicted_latency_ms=candidate.predicted_ms,
            rejected=candidate.rejected,
            plan=(plans or {}).get(candidate.name),
        )
        for candidate in study.candidates
    )
    return record.model_copy(update={"candidates": candidates, "objectives": (study.cost, study.objective)})


def write_study(
    study: Study,
    folder: Path,
    *,
    title: str = "search",
    model: str = "",
    command: Sequence[str] = (),
    asked: Mapping[str, Any] | None = None,
    beside: Mapping[str, str] | None = None,
) -> RunRecord:
    """Write ``run.json``, ``candidates.json`` and, for each point of the front, ``front/NAME`` as ``save`` does.

    Args:
        study: finished.
        folder: made where it is not there; an earlier front in it is replaced, anything else stays.
        title, model, command, asked: as in ``study_record``.
        beside: name -> text of further files for each point of the front.

    Raises:
        FileError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder / FRONT, ignore_errors=True)
        plans: dict[str, str] = {}
        for candidate in points(study):
            done = study.built(candidate)
            save(done.model, folder / FRONT / candidate.name, plan=done.plan, beside=beside)
            plans[candidate.name] = f"{FRONT}/{candidate.name}/plan.json"
        told = [_told(candidate) for candidate in study.candidates]
        (folder / CANDIDATES).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise FileError(f"{folder} cannot be written ({error.strerror}); give another folder") from error
    record = study_record(study, title=title, model=model, command=command, asked=asked, plans=plans)
    write_run(folder, record)
    return record


def points(study: Study) -> list[Candidate]:
    """The front, and the best of each budget where that is not on it; cheapest first."""
    found = {candidate.name: candidate for candidate in (*study.front(study.cost), *study.chosen())}
    return sorted(found.values(), key=lambda c: (getattr(c.cost, study.cost), c.name))


def _told(candidate: Candidate) -> dict[str, Any]:
    return {
        "name": candidate.name,
        "origin": candidate.origin,
        "budget": candidate.budget,
        "structure": candidate.structure.as_json(),
        "cost": candidate.cost.as_dict(),
        "scores": {k: v for k, v in candidate.scores.items() if math.isfinite(v)},
        "divergence": candidate.divergence,
        "healed": candidate.healed,
        "rejected": candidate.rejected,
        "seconds": round(candidate.seconds, 2),
    }
