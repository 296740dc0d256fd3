"""``netsmith grow``: a model -> a larger one with the same outputs, in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .datasets import open_batches
from .group import FAILED
from .models import ModelSource, open_model, state_digest
from .options import Debug, Input, Json, Model, Seed, Weights, parse_shape
from .output import emit_json, note, out
from .progress import stages
from .saved import SOURCE, refuse_occupied, source_text
from .shrink import EVAL_HELP, MEAN_HELP, STD_HELP, evaluation, option
from .verify import verdict_json, verdict_table

if TYPE_CHECKING:
    from ..plans import Plan
    from ..recipes import Result

STAGES = {
    "trace": "reading the model",
    "influence": "measuring the influence of blocks",
    "plan": "planning, and trying the plan on a twin",
    "verify": "verifying",
    "measure": "measuring",
}
WIDEN_HELP = (
    "Widen what matches PATTERN (axes, or tensors or modules that make them): a factor with a point (1.5) or a number "
    "of units (96). Repeatable; the first pattern that matches counts. One of --widen and --deepen, or both."
)
DEEPEN_HELP = "How many blocks to insert."
WHERE_HELP = "Behind which blocks: even (spread), influence (those that matter most, by --data), or their names: a,b,a."
DATA_HELP = "What to measure influence with, unlabelled: as for shrink."


def grow(
    model: Model,
    out_dir: Annotated[
        Path, typer.Option("--out", help="New folder for the result.", metavar="DIR", show_default=False)
    ],
    widen: Annotated[list[str] | None, option(WIDEN_HELP, "PATTERN=WIDTH")] = None,
    deepen: Annotated[int | None, option(DEEPEN_HELP, "N", min=1)] = None,
    where: Annotated[str, typer.Option(help=WHERE_HELP, metavar="WHERE")] = "even",
    data: Annotated[str | None, option(DATA_HELP, "DATA")] = None,
    evaluate_on: Annotated[
        str | None, typer.Option("--eval", help=EVAL_HELP, metavar="DATA", show_default=False)
    ] = None,
    weights: Weights = None,
    input: Input = None,
    mean: Annotated[str | None, option(MEAN_HELP, "NUMBERS")] = None,
    std: Annotated[str | None, option(STD_HELP, "NUMBERS")] = None,
    seed: Seed = 0,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Make a model wider and deeper without changing its outputs, verify it and save it, to be trained on."""
    widths = parse_widths(widen or [])
    if not widths and deepen is None:
        raise InputError("give --widen PATTERN=WIDTH, e.g. --widen '*=1.5', or --deepen N, or both")
    if where == "influence" and data is None:
        raise InputError("--where influence measures on data; give --data")
    source = ModelSource(model, weights, parse_shape(input), seed)
    refuse_occupied(out_dir)
    # Only now torch is loaded: what is wrong with the options themselves is said at once.
    from ..files import save
    from ..recipes import grow as grow_model

    opened = open_model(source)
    if source.brings_no_weights:
        note(f"{model} has random weights; give trained ones with --weights FILE")
    options: dict[str, Any] = {"widen": widths or None, "deepen": deepen}
    options["where"] = where if where in ("even", "influence") else where.split(",")
    if data is not None:
        options["data"] = open_batches(data, opened.example_inputs, mean=mean, std=std, shuffle=True, seed=seed)
    if evaluate_on is not None:
        options["evaluate"] = evaluation(opened, evaluate_on, mean, std)
    with stages(STAGES) as tell:
        result = grow_model(opened.model, opened.example_inputs, seed=seed, progress=tell, **options)
    beside = {SOURCE: source_text(source, state_digest(opened.model))}  # one folder, whole or not at all
    save(result.model, out_dir, plan=result.plan, beside=beside)
    _report(result, model, out_dir, as_json=json)
    if not result.verdict.ok:
        raise typer.Exit(FAILED)


def parse_widths(texts: list[str]) -> dict[str, float]:
    """``["*=1.5", "fc1=96"]`` -> {"*": 1.5, "fc1": 96}: a float is a factor, an int a number of units.

    Raises:
        InputError: not PATTERN=WIDTH, a pattern given twice, or a width that is no number.
    """
    widths: dict[str, float] = {}
    for text in texts:
        pattern, equals, width = text.rpartition("=")
        try:
            number = int(width) if width.strip().isdecimal() else float(width)
        except ValueError:
            number = 0
        if not equals or not pattern or not number > 0:
            raise InputError(f"--widen {text!r}: write PATTERN=FACTOR or PATTERN=UNITS, e.g. '*=1.5' or fc1=96")
        if pattern in widths:
            raise InputError(f"--widen {pattern} is given twice; give it once")
        widths[pattern] = number
    return widths


def _report(result: Result, model: str, folder: Path, *, as_json: bool) -> None:
    from ..reports import steps_json, steps_table

    wider, inserted = _wider(result.plan), [edit for step in result.plan.steps for edit in step.insertions]
    left = {name: why for step in result.plan.steps for name, why in step.left.items()}
    if as_json:
        steps, verdict = steps_json(result.steps), verdict_json(result.verdict)
        told = {
            "model": model,
            "folder": str(folder),
            "widened": wider,
            "inserted": [edit.block for edit in inserted],
            "left": left,
        }
        emit_json({**told, "steps": steps, "verdict": verdict})
        return
    console = out()
    lines = [f"{each['axis']}  {each['before']} -> {each['after']}" for each in wider]
    lines += [f"{edit.block}  {edit.words}" for edit in inserted]
    lines += [f"{name}  left as it is: {why}" for name, why in left.items()]
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    console.print(steps_table(result.steps, title=model))
    console.print(verdict_table(result.verdict))
    console.print(f"Saved in {folder}. Check it again with:  netsmith verify {folder}", markup=False, soft_wrap=True)


def _wider(plan: Plan) -> list[dict[str, Any]]:
    edits = [edit for step in plan.steps for edit in step.widenings]
    return [{"axis": e.axis, "before": e.size, "after": len(e.source)} for e in edits]
