"""``netsmith cut``: a model and data -> the same model without the blocks that matter least, in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InputError
from .chaining import chained, keep_chained, open_start
from .datasets import evaluation, open_batches, validation_of
from .finishing import tell
from .models import ModelSource
from .options import (
    BUDGET_HELP,
    Debug,
    Eval,
    Input,
    Json,
    Mean,
    Out,
    Seed,
    Std,
    Weights,
    option,
    parse_budget,
    parse_shape,
)
from .progress import stages
from .training import Original, What

STAGES = {
    "trace": "reading the model",
    "plan": "measuring the influence of blocks",
    "rejoin": "refitting around the cut",
    "recalibrate": "recalibrating",
    "verify": "verifying",
    "measure": "measuring",
}
BLOCKS_HELP = "How many blocks to cut. One of --blocks, --budget and --threshold."
THRESHOLD_HELP = "Cut while the influence of all that is gone stays below this, e.g. 0.01."
DATA_HELP = "What to measure influence and repair with, unlabelled: as for shrink."
INFLUENCE_HELP = (
    "divergence: of the outputs when a block is bypassed; cosine: of a block's input and output; taylor: by gradients."
)
BRANCHES_HELP = "With --budget or --threshold, attention and feed-forward branches inside blocks may go too."
HTML_HELP = "Also write a report as one HTML page."
MAPS_HELP = "Where it helps, put an affine map in a cut block's place."


def cut(
    what: What,
    data: Annotated[str, option(DATA_HELP, "DATA")],
    out_dir: Out,
    blocks: Annotated[int | None, option(BLOCKS_HELP, "N", min=1)] = None,
    budget: Annotated[list[str] | None, option(BUDGET_HELP, "NAME=VALUE")] = None,
    threshold: Annotated[float | None, option(THRESHOLD_HELP, "NUMBER")] = None,
    influence: Annotated[str, typer.Option(help=INFLUENCE_HELP, metavar="KIND")] = "divergence",
    branches: Annotated[bool, typer.Option("--branches/--no-branches", help=BRANCHES_HELP)] = True,
    maps: Annotated[bool, typer.Option("--maps/--no-maps", help=MAPS_HELP)] = True,
    evaluate_on: Eval = None,
    html: Annotated[Path | None, option(HTML_HELP, "FILE")] = None,
    original: Original = None,
    weights: Weights = None,
    input: Input = None,
    mean: Mean = None,
    std: Std = None,
    seed: Seed = 0,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Cut the blocks that matter least, repair what is left, verify it and save it."""
    limits = parse_budget(budget) if budget else None
    if sum(each is not None for each in (blocks, limits, threshold)) != 1:
        raise InputError("give one of --blocks N, --budget NAME=VALUE and --threshold NUMBER")
    source = ModelSource(what, weights, parse_shape(input), seed)
    subject = open_start(what, out_dir, given=source, original=original)
    from ..recipes import cut as cut_model

    opened = subject.opened
    batches = open_batches(data, opened.example_inputs, mean=mean, std=std, shuffle=True, seed=seed)
    measured = evaluate_on or validation_of(data)
    options: dict[str, Any] = {}
    if measured is not None:
        options["evaluate"] = evaluation(opened, measured, mean, std)
    options |= {"blocks": blocks, "budget": limits, "threshold": threshold, "influence": influence, "maps": maps}
    options["branches"] = branches
    with stages(STAGES) as progress:
        result = cut_model(subject.model, opened.example_inputs, data=batches, seed=seed, progress=progress, **options)
    gone = [{"block": edit.block, "now": edit.words} for edit in result.plan.block_edits]
    told: dict[str, Any] = {"blocks": gone, "left": dict(result.plan.left), "influence": dict(result.influence)}
    result = chained(result, subject)
    run = keep_chained(result, subject, out_dir, options.get("evaluate"))
    if html is not None:
        from ..reports.page import write_html
        from ..reports.run_page import run_page

        write_html(html, run_page(run))
    above = [f"{each['block']}  {each['now']}" for each in gone]
    above += [f"left as it is: {name} {why}" for name, why in told["left"].items()]
    tell(what, out_dir, result.steps, result.verdict, as_json=json, told=told, above=above)
