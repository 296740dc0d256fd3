"""``netsmith merge``: a model -> the same model with layers merged, exactly or by similarity, in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .datasets import open_batches, validation_of
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
    model: Model,
    out_dir: Annotated[
        Path, typer.Option("--out", help="New folder for the result.", metavar="DIR", show_default=False)
    ],
    pairs: Annotated[int | None, option(PAIRS_HELP, "N", min=1)] = None,
    threshold: Annotated[float | None, option(THRESHOLD_HELP, "NUMBER")] = None,
    data: Annotated[str | None, option(DATA_HELP, "DATA")] = None,
    likeness: Annotated[str, typer.Option(help=LIKENESS_HELP, metavar="KIND")] = "cka",
    exact: Annotated[bool, typer.Option("--exact/--no-exact", help=EXACT_HELP)] = True,
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
    """Merge layers that one layer can replace, verify the result and save it."""
    if pairs is not None and threshold is not None:
        raise InputError("give --pairs N or --threshold NUMBER, not both")
    if (pairs is not None or threshold is not None) and data is None:
        raise InputError("merging similar blocks needs unlabelled examples: give --data DATA")
    source = ModelSource(model, weights, parse_shape(input), seed)
    refuse_occupied(out_dir)
    # Only now torch is loaded: what is wrong with the options themselves is said at once.
    from ..files import save
    from ..recipes import merge as merge_model

    opened = open_model(source)
    if source.brings_no_weights:
        note(f"{model} has random weights; give trained ones with --weights FILE")
    options: dict[str, Any] = {"pairs": pairs, "threshold": threshold, "likeness": likeness, "exact": exact}
    if data is not None:
        options["data"] = open_batches(data, opened.example_inputs, mean=mean, std=std, shuffle=True, seed=seed)
    measured = evaluate_on or (validation_of(data) if data is not None else None)
    if measured is not None:
        options["evaluate"] = evaluation(opened, measured, mean, std)
    with stages(STAGES) as tell:
        result = merge_model(opened.model, opened.example_inputs, seed=seed, progress=tell, **options)
    beside = {SOURCE: source_text(source, state_digest(opened.model))}  # one folder, whole or not at all
    save(result.model, out_dir, plan=result.plan, beside=beside)
    _report(result, model, out_dir, as_json=json)
    if not result.verdict.ok:
        raise typer.Exit(FAILED)


def _report(result: Result, model: str, folder: Path, *, as_json: bool) -> None:
    from ..reports import steps_json, steps_table

    merged = _merged(result.plan)
    if as_json:
        steps = steps_json(result.steps)
        verdict = verdict_json(result.verdict)
        emit_json(
            {
                "model": model,
                "folder": str(folder),
                "merged": merged,
                "left": {name: why for step in result.plan.steps for name, why in step.left.items()},
                "steps": steps,
                "verdict": verdict,
            }
        )
        return
    console = out()
    for each in merged:
        console.print(f"{', '.join(each['layers'])}  -> {each['into']} ({each['how']})", markup=False, soft_wrap=True)
    if not merged:
        console.print("Nothing in this model can be merged.")
    console.print(steps_table(result.steps, title=model))
    console.print(verdict_table(result.verdict))
    console.print(f"Saved in {folder}. Check it again with:  netsmith verify {folder}", markup=False, soft_wrap=True)


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
