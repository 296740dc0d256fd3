"""``netsmith verify``: does a saved model keep what its plan promised?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ..errors import FileError, InputError
from .ensemble_folders import is_ensemble
from .ensemble_verdicts import verify_ensemble
from .group import FAILED
from .models import build_structure, open_model, state_digest
from .options import Debug, Json
from .output import emit_json, out, working
from .saved import read_source

if TYPE_CHECKING:
    from ..checks import Verdict

Folder = Annotated[
    Path,
    typer.Argument(help="A folder that a netsmith command wrote.", metavar="DIR", show_default=False),
]
Original = Annotated[
    str | None,
    typer.Option(
        help="The original, if not as DIR/source.json says: as for shrink. Of an ensemble: NAME=MODEL,...",
        metavar="MODEL",
        show_default=False,
    ),
]
OriginalWeights = Annotated[
    str | None,
    typer.Option(help="The original's weights, if they have moved.", metavar="FILE", show_default=False),
]


def verify(
    folder: Folder,
    model: Original = None,
    weights: OriginalWeights = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Check a saved model against the original it was made from. Exit code 1 if a check fails."""
    if is_ensemble(str(folder)):
        if weights is not None:
            raise InputError("an ensemble has many originals, whose weights members.json names; leave out --weights")
        with working("verifying"):
            verdict = verify_ensemble(folder, model)
        _tell(verdict, folder, "members.json", as_json=json)
        return
    from ..checks import verify as verify_plan
    from ..files import load, load_plan

    source, digest = read_source(folder, model=model, weights=weights)
    plan = load_plan(folder)
    with working("verifying"):
        original = open_model(source)
        if state_digest(original.model) != digest:
            raise FileError(
                f"{source.model} builds a model with other weights than the one that {folder} was made from; "
                "give the right ones with --weights FILE (or --model)"
            )
        edited = load(folder, lambda: build_structure(source))
        verdict = verify_plan(original.model, edited, plan, original.example_inputs)
    _tell(verdict, folder, source.model, as_json=json)


def _tell(verdict: Verdict, folder: Path, model: str, *, as_json: bool) -> None:
    if as_json:
        emit_json({"folder": str(folder), "model": model, **verdict_json(verdict)})
    else:
        out().print(verdict_table(verdict))
    if not verdict.ok:
        raise typer.Exit(FAILED)


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "ok": verdict.ok,
        "checks": [{"name": c.name, "status": c.status, "detail": c.detail} for c in verdict.checks],
    }


def verdict_table(verdict: Verdict) -> Table:
    """One row a check."""
    table = Table(title=f"verdict: {'ok' if verdict.ok else 'FAILED'}", title_justify="left")
    for heading in ("check", "status", "detail"):
        table.add_column(heading, overflow="fold")
    for check in verdict.checks:
        table.add_row(escape(check.name), escape(str(check.status)), escape(check.detail))
    return table
