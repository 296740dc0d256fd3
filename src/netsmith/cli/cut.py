"""``netsmith cut``: a model and data -> the same model without the blocks that matter least, in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .datasets import open_batches, validation_of
from .group import FAILED
from .models import ModelSource, open_model, state_digest
from .options import Debug, Input, Json, Model, Seed, Weights, parse_budget, parse_shape
from .output import emit_json, note, out
from .progress import stages
from .saved import SOURCE, refuse_occupied, source_text
from .shrink import BUDGET_HELP, EVAL_HELP, MEAN_HELP, STD_HELP, evaluation, option
from .verify import verdict_json, verdict_table

if TYPE_CHECKING:
    from ..plans import Plan
    from ..recipes import Result

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
    model: Model,
    data: Annotated[str, option(DATA_HELP, "DATA")],
    out_dir: Annotated[
        Path, typer.Option("--out", help="New folder for the result.", metavar="DIR", show_default=False)
    ],
    blocks: Annotated[int | None, option(BLOCKS_HELP, "N", min=1)] = None,
    budget: Annotated[list[str] | None, option(BUDGET_HELP, "NAME=VALUE")] = None,
    threshold: Annotated[float | None, option(THRESHOLD_HELP, "NUMBER")] = None,
    influence: Annotated[str, typer.Option(help=INFLUENCE_HELP, metavar="KIND")] = "divergence",
    branches: Annotated[bool, typer.Option("--branches/--no-branches", help=BRANCHES_HELP)] = True,
    maps: Annotated[bool, typer.Option("--maps/--no-maps", help=MAPS_HELP)] = True,
    evaluate_on: Annotated[
        str | None, typer.Option("--eval", help=EVAL_HELP, metavar="DATA", show_default=False)
    ] = None,
    html: Annotated[Path | None, option(HTML_HELP, "FILE")] = None,
    weights: Weights = None,
    input: Input = None,
    mean: Annotated[str | None, option(MEAN_HELP, "NUMBERS")] = None,
    std: Annotated[str | None, option(STD_HELP, "NUMBERS")] = None,
    seed: Seed = 0,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Cut the blocks that matter least, repair what is left, verify it and save it."""
    limits = parse_budget(budget) if budget else None
    if sum(each is not None for each in (blocks, limits, threshold)) != 1:
        raise InputError("give one of --blocks N, --budget NAME=VALUE and --threshold NUMBER")
    source = ModelSource(model, weights, parse_shape(input), seed)
    refuse_occupied(out_dir)
    # Only now torch is loaded: what is wrong with the options themselves is said at once.
    from ..files import save
    from ..recipes import cut as cut_model

    opened = open_model(source)
    if source.brings_no_weights:
        note(f"{model} has random weights; give trained ones with --weights FILE")
    batches = open_batches(data, opened.example_inputs, mean=mean, std=std, shuffle=True, seed=seed)
    measured = evaluate_on or validation_of(data)
    options: dict[str, Any] = {}
    if measured is not None:
        options["evaluate"] = evaluation(opened, measured, mean, std)
    options |= {"blocks": blocks, "budget": limits, "threshold": threshold, "influence": influence, "maps": maps}
    options["branches"] = branches
    with stages(STAGES) as tell:
        result = cut_model(opened.model, opened.example_inputs, data=batches, seed=seed, progress=tell, **options)
    beside = {SOURCE: source_text(source, state_digest(opened.model))}  # one folder, whole or not at all
    save(result.model, out_dir, plan=result.plan, beside=beside)
    if html is not None:
        from ..reports import html_report, write_html

        page = html_report(
            f"{model}, cut",
            result.steps,
            result.plan,
            verdict_text=str(result.verdict),
            influence=result.influence if influence == "divergence" else None,
        )
        write_html(html, page)
    _report(result, model, out_dir, as_json=json)
    if not result.verdict.ok:
        raise typer.Exit(FAILED)


def _report(result: Result, model: str, folder: Path, *, as_json: bool) -> None:
    from ..reports import steps_json, steps_table

    gone = _gone(result.plan)
    if as_json:
        steps = steps_json(result.steps)
        verdict = verdict_json(result.verdict)
        emit_json(
            {
                "model": model,
                "folder": str(folder),
                "blocks": gone,
                "left": dict(result.plan.left),
                "influence": dict(result.influence),
                "steps": steps,
                "verdict": verdict,
            }
        )
        return
    console = out()
    for each in gone:
        console.print(f"{each['block']}  {each['now']}", markup=False, soft_wrap=True)
    console.print(steps_table(result.steps, title=model))
    console.print(verdict_table(result.verdict))
    console.print(f"Saved in {folder}. Check it again with:  netsmith verify {folder}", markup=False, soft_wrap=True)


def _gone(plan: Plan) -> list[dict[str, str]]:
    return [{"block": edit.block, "now": edit.words} for edit in plan.block_edits]
