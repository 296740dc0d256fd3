"""What the demo writes beside the model, and the folder that it all goes to."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..checks.classes import Classes
from ..errors import FileError
from ..reports import steps_json
from ..reports.filling import record_of
from ..reports.record import RUN, CheckRecord, RunRecord, write_run
from ..reports.run_page import run_report
from ..wiring import Wiring
from .result import Result, Step

SUMMARY = "summary.json"
OWN_FILES = {"model.safetensors", "plan.json", "card.md", "report.html", SUMMARY, RUN}


@contextmanager
def output_folder(folder: Path) -> Iterator[Path]:
    """A path to write a new folder at; when the block ends well it takes the place of ``folder``, else it vanishes.

    Raises:
        FileError: ``folder`` holds something other than an earlier demo, or its parent cannot be written.
    """
    _refuse_foreign(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.")
    except OSError as error:
        raise FileError(f"{folder} cannot be written: {error.strerror or error}; give another folder") from error
    with scratch as name:
        staged = Path(name) / folder.name
        yield staged
        try:
            if folder.exists():
                folder.rename(Path(name) / "replaced")
            staged.rename(folder)
        except OSError as error:
            raise FileError(f"{folder} cannot be written: {error.strerror or error}; give another folder") from error


def _refuse_foreign(folder: Path) -> None:
    """An earlier demo may be replaced, nothing else."""
    try:
        names = {entry.name for entry in folder.iterdir()}
        earlier = json.loads((folder / RUN).read_text(encoding="utf-8")) if RUN in names else None
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise FileError(f"{folder} cannot be used for the demo: {error}; give another folder") from error
    # "recipe" is what the first demos called it.
    ours = names <= OWN_FILES and isinstance(earlier, dict) and "demo" in (earlier.get("kind"), earlier.get("recipe"))
    if names and not ours:
        raise FileError(f"{folder} is not empty and holds no earlier demo; give a new folder, e.g. {folder}-2")


def score_notes(steps: tuple[Step, ...], *, width: int) -> str:
    """The constructor and the measured scores as Markdown, for the card."""
    rows = "\n".join(
        f"| {step.name} | {step.cost.macs:,} | {step.scores['accuracy']:.4f} | {step.scores['f1']:.4f} |"
        for step in steps
    )
    return (
        f"The call that made the original: `netsmith.zoo.digits_resnet(width={width})`.\n\n"
        f"scikit-learn's digits, test part:\n\n| step | MACs | accuracy | macro-F1 |\n|---|---|---|---|\n{rows}\n"
    )


def write_told(folder: Path, result: Result, run: RunRecord) -> None:
    """summary.json: the table for machines, a list of steps. run.json: how it came about. report.html: both, drawn."""
    (folder / SUMMARY).write_text(json.dumps(steps_json(result.steps), indent=2) + "\n", encoding="utf-8")
    write_run(folder, run)
    run_report(folder)


def demo_record(
    result: Result,
    wiring: Wiring,
    classes: Mapping[str, Classes],
    *,
    settings: Mapping[str, Any],
    seed: int,
    same: bool,
) -> RunRecord:
    """The record of a demo.

    Args:
        result: with the steps as they are shown.
        wiring: of the original.
        classes: name of a step -> its classes on the test part.
        settings, seed: of the demo.
        same: whether the reloaded model gave the same outputs to the last bit.
    """
    run = record_of(
        result,
        wiring,
        title="A digit classifier, made smaller",
        model=f"netsmith.zoo:digits_resnet(width={settings['width']})",
        kind="demo",
        command=[f"netsmith demo --seed {seed}"],
        asked={"data": "scikit-learn's digits; every score is measured on the test part", **settings},
        seed=seed,
        classes=classes,
    )
    detail = "bit-equal outputs" if same else "DIFFERENT outputs"
    check = CheckRecord(name="reload", status="exact" if same else "failed", detail=f"in a fresh process: {detail}")
    *before, last = run.steps
    return run.model_copy(update={"steps": (*before, last.model_copy(update={"checks": (*last.checks, check)}))})
