"""``netsmith quantize``: a model -> the same model with integer weights, in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .chaining import chained, open_start
from .datasets import open_batches, validation_of
from .group import FAILED
from .models import ModelSource
from .options import Debug, Input, Json, Seed, Weights, parse_budget, parse_shape
from .output import emit_json, out
from .progress import stages
from .saved import SOURCE, refuse_occupied, source_text
from .shrink import EVAL_HELP, IGNORE_HELP, MEAN_HELP, STD_HELP, evaluation, option
from .training import Original, Subject, What
from .verify import verdict_json, verdict_table

if TYPE_CHECKING:
    from ..recipes import Result

STAGES = {
    "trace": "reading the model",
    "plan": "measuring what rounding does",
    "round": "rounding",
    "verify": "verifying",
    "measure": "measuring",
}
SCHEME_HELP = "int8, int4, or dynamic-int8: inputs of linear layers too. One of --scheme and --budget."
BUDGET_HELP = "bytes=25%: 8 or 4 bits for each weight, by what it costs; needs --data."
DATA_HELP = "Unlabelled data to round with (GPTQ), and for --budget: as for shrink."
GROUP_HELP = "How many inputs share a scale, for 4 bits; 0: all of an output."
CLIP_HELP = "How clipping thresholds are found: max, percentile, mse or kl."


def quantize(
    what: What,
    out_dir: Annotated[
        Path, typer.Option("--out", help="New folder for the result.", metavar="DIR", show_default=False)
    ],
    scheme: Annotated[str | None, option(SCHEME_HELP, "SCHEME")] = None,
    budget: Annotated[list[str] | None, option(BUDGET_HELP, "NAME=VALUE")] = None,
    data: Annotated[str | None, option(DATA_HELP, "DATA")] = None,
    group: Annotated[int, typer.Option(help=GROUP_HELP, metavar="N", min=0)] = 0,
    clip: Annotated[str, typer.Option(help=CLIP_HELP, metavar="KIND")] = "max",
    ignore: Annotated[list[str] | None, option(IGNORE_HELP, "PATTERN")] = None,
    evaluate_on: Annotated[
        str | None, typer.Option("--eval", help=EVAL_HELP, metavar="DATA", show_default=False)
    ] = None,
    original: Original = None,
    weights: Weights = None,
    input: Input = None,
    mean: Annotated[str | None, option(MEAN_HELP, "NUMBERS")] = None,
    std: Annotated[str | None, option(STD_HELP, "NUMBERS")] = None,
    seed: Seed = 0,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Store the weights as 8-bit or 4-bit integers, verify the result and save it."""
    limits = parse_budget(budget) if budget else None
    if (scheme is None) == (limits is None):
        raise InputError("give one of --scheme int8 and --budget bytes=25%")
    source = ModelSource(what, weights, parse_shape(input), seed)
    refuse_occupied(out_dir)
    # Only now torch is loaded: what is wrong with the options themselves is said at once.
    from ..recipes import quantize as quantize_model

    subject = open_start(what, out_dir, given=source, original=original)
    opened = subject.opened
    options: dict[str, Any] = {"scheme": scheme, "budget": limits, "group": group, "clip": clip}
    options |= {"ignore": tuple(ignore or ()), "seed": seed}
    if data is not None:
        options["data"] = open_batches(data, opened.example_inputs, mean=mean, std=std, shuffle=True, seed=seed)
    measured = evaluate_on or validation_of(data or "")
    if measured is not None:
        options["evaluate"] = evaluation(opened, measured, mean, std)
    with stages(STAGES) as tell:
        result = quantize_model(subject.model, opened.example_inputs, progress=tell, **options)
    finish(chained(result, subject), subject, out_dir, as_json=json)


def finish(
    result: Result, subject: Subject, folder: Path, *, as_json: bool, more: dict[str, Any] | None = None
) -> None:
    """Save a result and tell of it; ``more`` stands in the JSON, and before the table as "name: value"."""
    from ..files import save
    from ..reports import steps_json, steps_table

    save(result.model, folder, plan=result.plan, beside={SOURCE: source_text(subject.source, subject.digest)})
    size = (folder / "model.safetensors").stat().st_size
    more = {**(more or {}), "file_bytes": size}
    if as_json:
        told = {"model": subject.name, "folder": str(folder), "left": dict(result.plan.left), **more}
        emit_json({**told, "steps": steps_json(result.steps), "verdict": verdict_json(result.verdict)})
    else:
        console = out()
        console.print(steps_table(result.steps, title=subject.name))
        for name, value in more.items():
            console.print(f"{name.replace('_', ' ')}: {value:,}", markup=False)
        for name, why in result.plan.left.items():
            console.print(f"left as it is: {name} {why}", markup=False, soft_wrap=True)
        console.print(verdict_table(result.verdict))
        console.print(
            f"Saved in {folder}. Check it again with:  netsmith verify {folder}", markup=False, soft_wrap=True
        )
    if not result.verdict.ok:
        raise typer.Exit(FAILED)
