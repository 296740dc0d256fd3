"""What every command that makes a model does at its end: save, tell, and exit with 1 where a promise is not kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .group import FAILED
from .models import ModelSource
from .output import emit_json, out
from .saved import SOURCE, source_text
from .verify import verdict_json, verdict_table

if TYPE_CHECKING:
    from torch import nn

    from ..checks import Verdict
    from ..plans import Plan
    from ..recipes import Step


def keep(
    model: nn.Module,
    plan: Plan,
    folder: Path,
    source: ModelSource,
    digest: str,
    *,
    beside: Mapping[str, str] | None = None,
) -> None:
    """Save a model with its plan and how its original is built: one folder, whole or not at all.

    ``beside``: name -> text of further files for it.
    """
    from ..files import save

    save(model, folder, plan=plan, beside={**(beside or {}), SOURCE: source_text(source, digest)})


def tell(
    name: str,
    folder: Path,
    steps: Sequence[Step],
    verdict: Verdict,
    *,
    as_json: bool,
    told: Mapping[str, Any] | None = None,
    above: Iterable[str] = (),
    below: Iterable[str] = (),
) -> None:
    """Report a saved result.

    Args:
        name: of the model, as on the command line.
        folder: where it was saved.
        steps: cost and scores of each.
        verdict: of ``verify``.
        as_json: as JSON; else as text.
        told: what the JSON says besides, by key.
        above, below: lines of text before and behind the table of steps.

    Raises:
        typer.Exit: with 1, when all is told, if a check failed.
    """
    from ..reports import steps_json, steps_table

    if as_json:
        found = {"steps": steps_json(steps), "verdict": verdict_json(verdict)}
        emit_json({"model": name, "folder": str(folder), **(told or {}), **found})
    else:
        console = out()
        for line in above:
            console.print(line, markup=False, soft_wrap=True)
        console.print(steps_table(steps, title=name))
        for line in below:
            console.print(line, markup=False, soft_wrap=True)
        console.print(verdict_table(verdict))
        console.print(
            f"Saved in {folder}. Check it again with:  netsmith verify {folder}", markup=False, soft_wrap=True
        )
    if not verdict.ok:
        raise typer.Exit(FAILED)
