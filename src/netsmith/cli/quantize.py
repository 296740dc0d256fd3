"""``netsmith quantize``: a model -> the same model with integer weights, in a folder."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..errors import InputError
from .chaining import chained, finish, open_start
from .datasets import given_data
from .models import ModelSource
from .options import Debug, Eval, Ignore, Input, Json, Mean, Out, Seed, Std, Weights, option, parse_budget, parse_shape
from .progress import stages
from .training import Original, What

STAGES = {
    "trace": "reading the model",
    "plan": "measuring what rounding does",
    "round": "rounding",
    "heal": "distilling",
    "verify": "verifying",
    "measure": "measuring",
}
SCHEME_HELP = "int8, int4, or dynamic-int8: inputs of linear layers too. One of --scheme and --budget."
BUDGET_HELP = "bytes=25%: 8 or 4 bits for each weight, by what it costs; needs --data."
DATA_HELP = "Unlabelled data to round with (GPTQ), and for --budget: as for shrink."
GROUP_HELP = "How many inputs share a scale, for 4 bits; 0: all of an output."
HEAL_HELP = "Afterwards distil from the original, rounding in every step, for so many passes over the data."
CLIP_HELP = "How clipping thresholds are found: max, percentile, mse or kl."


def quantize(
    what: What,
    out_dir: Out,
    scheme: Annotated[str | None, option(SCHEME_HELP, "SCHEME")] = None,
    budget: Annotated[list[str] | None, option(BUDGET_HELP, "NAME=VALUE")] = None,
    data: Annotated[str | None, option(DATA_HELP, "DATA")] = None,
    group: Annotated[int, typer.Option(help=GROUP_HELP, metavar="N", min=0)] = 0,
    clip: Annotated[str, typer.Option(help=CLIP_HELP, metavar="KIND")] = "max",
    heal: Annotated[int | None, option(HEAL_HELP, "EPOCHS", min=1)] = None,
    ignore: Ignore = None,
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
    """Store the weights as 8-bit or 4-bit integers, verify the result and save it."""
    limits = parse_budget(budget) if budget else None
    if (scheme is None) == (limits is None):
        raise InputError("give one of --scheme int8 and --budget bytes=25%")
    source = ModelSource(what, weights, parse_shape(input), seed)
    subject = open_start(what, out_dir, given=source, original=original)
    from ..recipes import quantize as quantize_model

    opened = subject.opened
    options: dict[str, Any] = {"scheme": scheme, "budget": limits, "group": group, "clip": clip}
    options |= {"ignore": tuple(ignore or ()), "seed": seed, "heal": heal}
    options |= given_data(opened, data, evaluate_on, mean, std, seed)
    with stages(STAGES) as tell:
        result = quantize_model(subject.model, opened.example_inputs, progress=tell, **options)
    finish(chained(result, subject), subject, out_dir, options.get("evaluate"), as_json=json)
