"""``netsmith merge``: a model -> the same model with layers merged, exactly or by similarity, in a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .chaining import chained, keep_chained, open_start
from .datasets import evaluation, open_batches, validation_of
from .finishing import tell
from .models import ModelSource
from .options import Debug, Eval, Input, Json, Mean, Out, Seed, Std, Weights, option, parse_shape
from .progress import stages
from .training import Original, What

if TYPE_CHECKING:
    from ..plans import Plan

STAGES = {
    "trace": "reading the model",
    "plan": "measuring the similarity of blocks",
    "rejoin": "refitting merged blocks",
    "recalibrate": "recalibrating",
    "fuse": "merging layers exactly",
    "verify": "verifying",
    "measure": "measuring",
}
PAIRS_HELP = "How many blocks to merge into the one before. Without it and --threshold only exact merges are made."
THRESHOLD_HELP = "Merge neighbouring blocks while the similarity of their outputs is at least this, e.g. 0.99."
DATA_HELP = "What to measure similarity and refit with, unlabelled: as for shrink. Needed for similar blocks."
LIKENESS_HELP = "cka: linear centred kernel alignment; cosine: mean cosine; of two blocks' outputs."
EXACT_HELP = "At last merge exactly what algebra allows: normalizations, scales, rows and branches of layers."


def merge(
    what: What,
    out_dir: Out,
    pairs: Annotated[int | None, option(PAIRS_HELP, "N", min=1)] = None,
    threshold: Annotated[float | None, option(THRESHOLD_HELP, "NUMBER")] = None,
    data: Annotated[str | None, option(DATA_HELP, "DATA")] = None,
    likeness: Annotated[str, typer.Option(help=LIKENESS_HELP, metavar="KIND")] = "cka",
    exact: Annotated[bool, typer.Option("--exact/--no-exact", help=EXACT_HELP)] = True,
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
    """Merge layers that one layer can replace, verify the result and save it."""
    if pairs is not None and threshold is not None:
        raise InputError("give --pairs N or --threshold NUMBER, not both")
    if (pairs is not None or threshold is not None) and data is None:
        raise InputError("merging similar blocks needs unlabelled examples: give --data DATA")
    source = ModelSource(what, weights, parse_shape(input), seed)
    subject = open_start(what, out_dir, given=source, original=original)
    from ..recipes import merge as merge_model

    opened = subject.opened
    options: dict[str, Any] = {"pairs": pairs, "threshold": threshold, "likeness": likeness, "exact": exact}
    if data is not None:
        options["data"] = open_batches(data, opened.example_inputs, mean=mean, std=std, shuffle=True, seed=seed)
    measured = evaluate_on or (validation_of(data) if data is not None else None)
    if measured is not None:
        options["evaluate"] = evaluation(opened, measured, mean, std)
    with stages(STAGES) as progress:
        result = merge_model(subject.model, opened.example_inputs, seed=seed, progress=progress, **options)
    merged = _merged(result.plan)
    told = {"merged": merged, "left": result.plan.all_left}
    result = chained(result, subject)
    keep_chained(result, subject, out_dir, options.get("evaluate"))
    above = [f"{', '.join(each['layers'])}  -> {each['into']} ({each['how']})" for each in merged]
    above = above or ["Nothing in this model can be merged."]
    tell(what, out_dir, result.steps, result.verdict, as_json=json, told=told, above=above)


def _merged(plan: Plan) -> list[dict[str, Any]]:
    from ..plans import MergeBlocks

    found: list[dict[str, Any]] = []
    for step in plan.steps:
        found += [
            {"layers": [edit.into, edit.block], "into": edit.into, "how": edit.how}
            for edit in step.block_edits
            if isinstance(edit, MergeBlocks)
        ]
        found += [{"layers": list(edit.layers), "into": edit.place, "how": "exact"} for edit in step.fusions]
    return found
