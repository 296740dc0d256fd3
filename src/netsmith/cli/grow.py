"""``netsmith grow``: a model -> a larger one with the same outputs, in a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .datasets import evaluation, open_batches
from .finishing import keep, tell
from .models import ModelSource, open_trained, state_digest
from .options import Debug, Eval, Input, Json, Mean, Model, Out, Seed, Std, Weights, option, parse_shape
from .progress import stages
from .saved import refuse_occupied

if TYPE_CHECKING:
    from ..plans import Plan

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
    out_dir: Out,
    widen: Annotated[list[str] | None, option(WIDEN_HELP, "PATTERN=WIDTH")] = None,
    deepen: Annotated[int | None, option(DEEPEN_HELP, "N", min=1)] = None,
    where: Annotated[str, typer.Option(help=WHERE_HELP, metavar="WHERE")] = "even",
    data: Annotated[str | None, option(DATA_HELP, "DATA")] = None,
    evaluate_on: Eval = None,
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
    source = ModelSource(model, weights, parse_shape(input), seed)
    refuse_occupied(out_dir)
    # Only now torch is loaded: what is wrong with the options themselves is said at once.
    from ..recipes import grow as grow_model

    opened = open_trained(source)
    options: dict[str, Any] = {"widen": widths or None, "deepen": deepen}
    options["where"] = where if where in ("even", "influence") else where.split(",")
    if data is not None:
        options["data"] = open_batches(data, opened.example_inputs, mean=mean, std=std, shuffle=True, seed=seed)
    if evaluate_on is not None:
        options["evaluate"] = evaluation(opened, evaluate_on, mean, std)
    with stages(STAGES) as progress:
        result = grow_model(opened.model, opened.example_inputs, seed=seed, progress=progress, **options)
    keep(result, out_dir, source, state_digest(opened.model), opened, options.get("evaluate"))
    wider, left = _wider(result.plan), result.plan.all_left
    inserted = [edit for step in result.plan.steps for edit in step.insertions]
    told = {"widened": wider, "inserted": [edit.block for edit in inserted], "left": left}
    above = [f"{each['axis']}  {each['before']} -> {each['after']}" for each in wider]
    above += [f"{edit.block}  {edit.words}" for edit in inserted]
    above += [f"{name}  left as it is: {why}" for name, why in left.items()]
    tell(model, out_dir, result.steps, result.verdict, as_json=json, told=told, above=above)


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
