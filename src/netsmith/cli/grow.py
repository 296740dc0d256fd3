"""``netsmith grow``: a model -> a larger one with the same outputs, in a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .chaining import chained, keep_chained, open_start
from .datasets import evaluation, open_batches
from .finishing import tell
from .models import ModelSource
from .options import Debug, Eval, Input, Json, Mean, Out, Seed, Std, Weights, option, parse_shape
from .progress import stages
from .training import Original, What

if TYPE_CHECKING:
    from ..plans import Plan

STAGES = {
    "trace": "reading the model",
    "influence": "measuring influence",
    "plan": "planning, and trying the plan on a twin",
    "verify": "verifying",
    "measure": "measuring",
}
WIDEN_HELP = (
    "Widen what matches PATTERN (axes, or tensors or modules that make them): a factor with a point (1.5) or a number "
    "of units (96). Repeatable; the first pattern that matches counts. One of --widen and --deepen, or both."
)
DEEPEN_HELP = "How many blocks to insert."
WHERE_HELP = (
    "Behind which blocks: even (spread), their names (a,b,a), or influence, measured on --data: behind those that "
    "matter most, and axes that matter less get less of a factor of --widen."
)
DATA_HELP = "What to measure influence with, unlabelled: as for shrink."


def grow(
    what: What,
    out_dir: Out,
    widen: Annotated[list[str] | None, option(WIDEN_HELP, "PATTERN=WIDTH")] = None,
    deepen: Annotated[int | None, option(DEEPEN_HELP, "N", min=1)] = None,
    where: Annotated[str, typer.Option(help=WHERE_HELP, metavar="WHERE")] = "even",
    data: Annotated[str | None, option(DATA_HELP, "DATA")] = None,
    evaluate_on: Eval = None,
    original: Original = None,
    weights: Weights = None,
    input: Input = None,
    mean: Mean = None,
    std: Std = None,
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
    source = ModelSource(what, weights, parse_shape(input), seed)
    subject = open_start(what, out_dir, given=source, original=original)
    from ..recipes import grow as grow_model

    opened = subject.opened
    options: dict[str, Any] = {"widen": widths or None, "deepen": deepen}
    options["where"] = where if where in ("even", "influence") else where.split(",")
    if data is not None:
        options["data"] = open_batches(data, opened.example_inputs, mean=mean, std=std, shuffle=True, seed=seed)
    if evaluate_on is not None:
        options["evaluate"] = evaluation(opened, evaluate_on, mean, std)
    with stages(STAGES) as progress:
        result = grow_model(subject.model, opened.example_inputs, seed=seed, progress=progress, **options)
    wider, left = _wider(result.plan), result.plan.all_left
    inserted = [edit for step in result.plan.steps for edit in step.insertions]
    told = {"widened": wider, "inserted": [edit.block for edit in inserted], "left": left}
    result = chained(result, subject)
    keep_chained(result, subject, out_dir, options.get("evaluate"))
    above = [f"{each['axis']}  {each['before']} -> {each['after']}" for each in wider]
    above += [f"{edit.block}  {edit.words}" for edit in inserted]
    above += [f"{name}  left as it is: {why}" for name, why in left.items()]
    tell(what, out_dir, result.steps, result.verdict, as_json=json, told=told, above=above)


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


def _wider(plan: Plan) -> list[dict[str, Any]]:
    edits = [edit for step in plan.steps for edit in step.widenings]
    return [{"axis": e.axis, "before": e.size, "after": len(e.source)} for e in edits]
