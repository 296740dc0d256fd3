"""What the demo writes beside the model, and the folder that it all goes to."""

from __future__ import annotations

import json
import platform
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..errors import FileError
from ..plans import Plan
from ..reports import html_report, steps_json, write_html
from .result import Step

SUMMARY, RUN = "summary.json", "run.json"
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
    ours = names <= OWN_FILES and isinstance(earlier, dict) and earlier.get("recipe") == "demo"
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


def write_summary(
    folder: Path, steps: tuple[Step, ...], *, seed: int, settings: Mapping[str, Any], **facts: Any
) -> None:
    """summary.json: the table for machines, a list of steps. run.json: how it came about."""
    run = {
        "recipe": "demo",
        "netsmith": __version__,
        "torch": str(torch.__version__),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "data": "scikit-learn digits; scores on the test part",
        "seed": seed,
        "settings": dict(settings),
        **facts,
    }
    (folder / SUMMARY).write_text(json.dumps(steps_json(steps), indent=2) + "\n", encoding="utf-8")
    (folder / RUN).write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")


def write_report(folder: Path, steps: tuple[Step, ...], plan: Plan, verdict_text: str, *, batch: int) -> None:
    """report.html, which opens offline."""
    html = html_report(
        "A digit classifier, made smaller",
        steps,
        plan,
        verdict_text=verdict_text,
        subtitle=f"scikit-learn's digits; accuracy and macro-F1 on the test part; one call is {batch} images",
    )
    write_html(folder / "report.html", html)
