"""``netsmith run``: a recipe -> a folder with every step's model and run.json."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ..errors import NetsmithError
from .group import FAILED
from .models import ModelSource
from .options import Debug, Json
from .output import emit_json, note, out
from .progress import stages

if TYPE_CHECKING:
    from ..recipes import RecipeRun

RECIPE_HELP = "YAML: model, data and steps; `netsmith init MODEL` writes one."
OUT_HELP = "Folder for the run. Default: out/ and the recipe's name."
RESUME_HELP = "Go on with the run in --out: steps whose result is there and still applies are not done again."
Recipe = Annotated[Path, typer.Argument(help=RECIPE_HELP, metavar="RECIPE", show_default=False)]


def run(
    recipe: Recipe,
    out_dir: Annotated[Path | None, typer.Option("--out", help=OUT_HELP, metavar="DIR", show_default=False)] = None,
    resume: Annotated[bool, typer.Option("--resume", help=RESUME_HELP)] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Carry out a recipe step by step; each is verified, saved, and not done again."""
    folder = out_dir or Path("out") / recipe.stem
    from ..recipes import run_recipe
    from ..recipes.reading import read_recipe

    head = read_recipe(recipe).head
    if ModelSource(head.model, head.weights).brings_no_weights:
        note(f"{head.model} has random weights; give trained ones with  weights: FILE  above the steps")

    begun: set[str] = set()
    try:
        with stages({}) as tell:

            def progress(step: str, what: str, done: int, total: int) -> None:
                begun.add(step)
                stage, _, detail = what.partition(", ")
                tell(f"{step}: {stage}", done, total, detail)

            done = run_recipe(recipe, folder, resume=resume, progress=progress)
    except (KeyboardInterrupt, NetsmithError):
        if resume or begun:
            note(f"finished steps are kept; go on with:  netsmith run {recipe} --out {folder} --resume")
        raise
    if json:
        emit_json({"folder": str(folder), "ok": done.ok, **done.record.model_dump(mode="json")})
    else:
        _print(done)
    if not done.ok:
        raise typer.Exit(FAILED)


def _print(done: RecipeRun) -> None:
    console = out()
    record = done.record
    scores = list(dict.fromkeys(name for step in record.steps for name in step.scores))
    table = Table(title=record.title, title_justify="left")
    table.add_column("step", overflow="fold")
    for heading in ("parameters", "MACs", "bytes", "ms", *scores, "seconds"):
        table.add_column(heading, justify="right")
    table.add_column("checks", overflow="fold")
    for step in record.steps:
        table.add_row(escape(step.name), *_costs(step), *(_score(step.scores.get(n)) for n in scores), *_end(step))
    console.print(table)
    for step in record.steps:
        for check in step.checks:
            if check.status == "failed":
                console.print(f"{step.name}: {check.name} FAILED: {check.detail}", markup=False, soft_wrap=True)
    console.print(f"Saved in {done.folder}: run.json, and steps/ with a folder for each step.", markup=False)


def _costs(step: Any) -> list[str]:
    if step.cost is None:
        return [""] * 4
    latency = "" if step.cost.latency_ms is None else f"{step.cost.latency_ms:.2f}"
    return [f"{step.cost.params:,}", f"{step.cost.macs:,}", f"{step.cost.bytes:,}", latency]


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _end(step: Any) -> list[str]:
    checks = "failed" if any(c.status == "failed" for c in step.checks) else "ok" if step.checks else ""
    return ["kept" if step.cached else f"{step.seconds:.1f}", checks]
