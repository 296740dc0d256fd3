"""``steps/NN-name/``: what each step left, and ``step.json``, which says that it is whole and what it was made of."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import FileError
from ..reports.record import StepRecord

STEPS, STEP = "steps", "step.json"
VERSION = 1
CHECKPOINTS = ".training"
_SHELF = ".earlier-"  # results of an earlier form of the recipe, until the run is through


@dataclass(frozen=True)
class Finished:
    """What ``step.json`` says.

    Attributes:
        key: of what the result depends on.
        record: for ``run.json``.
        told: numbers that only some steps have, such as the influence of blocks.
    """

    key: str
    record: StepRecord
    told: Mapping[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        content = {"version": VERSION, "key": self.key, "record": self.record.model_dump(mode="json")}
        return json.dumps({**content, "told": dict(self.told)}, indent=1) + "\n"

    @property
    def sound(self) -> bool:
        """No check of it failed."""
        return all(check.status != "failed" for check in self.record.checks)


def read_finished(folder: Path) -> Finished | None:
    """What a step left; None where the file is absent, damaged or of another version: then the step is done again."""
    try:
        content = json.loads((folder / STEP).read_text(encoding="utf-8"))
        if content["version"] != VERSION:
            return None
        return Finished(str(content["key"]), StepRecord.model_validate(content["record"]), dict(content["told"]))
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return None


def take_finished(run: Path, wanted: Mapping[str, str]) -> dict[str, Finished]:
    """Put the results that a run has already in their places; the others aside.

    Args:
        run: the run's folder.
        wanted: folder's name -> key, of every step of the recipe as it is now.

    Returns:
        folder's name -> what is there, of the steps that need not be done again.

    Raises:
        FileError: the folder cannot be written, or something else is in the place of a step.
    """
    steps = run / STEPS
    try:
        for folder in _folders(steps):
            if not (folder / STEP).exists():  # what a run makes has one from the first moment
                if folder.name in wanted:
                    raise FileError(f"{folder} is in the way, and was made by no run; move it away")
                continue
            found = read_finished(folder)
            if found is None or not found.sound:
                shutil.rmtree(folder)
            elif folder.name != f"{_SHELF}{found.key}" and wanted.get(folder.name) != found.key:
                _move(folder, steps / f"{_SHELF}{found.key}")
        for name, key in wanted.items():
            if not (steps / name).exists() and (steps / f"{_SHELF}{key}").is_dir():
                _move(steps / f"{_SHELF}{key}", steps / name)
    except OSError as error:
        raise FileError(f"{steps} cannot be written ({error.strerror}): {error.filename}") from error
    found_now = {name: read_finished(steps / name) for name in wanted}
    return {name: found for name, found in found_now.items() if found is not None}


def finished_keys(run: Path) -> frozenset[str]:
    """Of all that a run's folder holds; nothing is moved."""
    steps = run / STEPS
    found = [read_finished(folder) for folder in steps.iterdir()] if steps.is_dir() else []
    return frozenset(each.key for each in found if each is not None and each.sound)


def drop_earlier(run: Path) -> None:
    """Remove what no step of the recipe as it is now has made."""
    for folder in [f for f in _folders(run / STEPS) if f.name.startswith(_SHELF)]:
        shutil.rmtree(folder, ignore_errors=True)


def _folders(steps: Path) -> Iterable[Path]:
    """Of steps; folders that a save had not finished (``.NAME.RANDOM.tmp``) are removed."""
    found = sorted(steps.iterdir()) if steps.is_dir() else []
    for folder in found:
        if folder.name.startswith(".") and folder.name.endswith(".tmp"):
            shutil.rmtree(folder)
    return [folder for folder in found if folder.is_dir() and folder.name != CHECKPOINTS]


def _move(source: Path, target: Path) -> None:
    if target.exists():
        shutil.rmtree(target)
    source.rename(target)
