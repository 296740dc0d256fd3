"""``netsmith plan``: what a recipe would cost and save, without carrying it out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .options import Debug, Json
from .output import emit_json, out, working
from .run import Recipe

if TYPE_CHECKING:
    from ..recipes import PlannedStep

OUT_HELP = "The folder of a run, to say which steps are done already."
_MARKS = {"exact": "", "same": "", "about": "about ", "not known": "at most "}


def plan(
    recipe: Recipe,
    out_dir: Annotated[Path | None, typer.Option("--out", help=OUT_HELP, metavar="DIR", show_default=False)] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Check a recipe and print costs before and after each step. Nothing is written, and no data is read."""
    from ..recipes import plan_recipe

    with working("planning"):
        steps = plan_recipe(recipe, out_dir)
    if json:
        emit_json({"recipe": str(recipe), "steps": [asdict(step) for step in steps]})
        return
    console = out()
    _print(console, str(recipe), steps)


def _print(console: Console, title: str, steps: tuple[PlannedStep, ...]) -> None:
    table = Table(title=f"{title}: what it would do", title_justify="left")
    table.add_column("step", overflow="fold")
    for heading in ("parameters", "MACs", "bytes"):
        table.add_column(heading, justify="right")
    table.add_column("what", overflow="fold")
    if steps:
        first = steps[0].before
        table.add_row("original", *(f"{n:,}" for n in (first.params, first.macs, first.bytes)), "")
    for step in steps:
        mark = _MARKS[step.sure]
        costs = [f"{mark}{getattr(step.after, name):,}" for name in ("params", "macs", "bytes")]
        if step.sure == "same":
            costs = [""] * 3
        said = "; ".join(filter(None, (step.said, "done already" if step.kept else "")))
        table.add_row(escape(step.name), *costs, escape(said))
    console.print(table)
    if any(step.sure == "about" for step in steps):
        console.print("about: which units or blocks go is measured on data when the recipe runs", markup=False)
