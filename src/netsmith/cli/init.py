"""``netsmith init``: a model -> a recipe for it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .datasets import numbers
from .models import ModelSource
from .options import Debug, Input, Json, Mean, Model, Seed, Std, Weights, option, parse_shape
from .output import emit_json, note, out, working

OUT_HELP = "New file for the recipe."
DATA_HELP = "What to repair and train with, as for shrink. Without it the recipe has a place to fill in."
EVAL_HELP = "Labelled data to measure on, not the test set. Default: digits:validation with --data digits."
KIND_HELP = "cnn_classifier, vit, bert_encoder, small_llm or speech. Default: the one that suits the model."


def init(
    model: Model,
    out_file: Annotated[
        Path, typer.Option("--out", help="New file for the recipe.", metavar="FILE", show_default=False)
    ],
    data: Annotated[str | None, option(DATA_HELP, "DATA")] = None,
    evaluate_on: Annotated[
        str | None, typer.Option("--eval", help=EVAL_HELP, metavar="DATA", show_default=False)
    ] = None,
    kind: Annotated[str | None, option(KIND_HELP, "NAME")] = None,
    weights: Weights = None,
    input: Input = None,
    mean: Mean = None,
    std: Std = None,
    seed: Seed = 0,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a recipe for a model: the shipped one that suits it, filled in, to be read and changed."""
    source = ModelSource(model, weights, parse_shape(input), seed)
    means, stds = numbers("--mean", mean), numbers("--std", std)
    from ..recipes.writing import init_recipe, write_new

    with working("reading the model"):
        written = init_recipe(source, data=data, eval=evaluate_on, mean=means, std=stds, kind=kind)
    write_new(out_file, written.text)
    if source.brings_no_weights:
        note(f"{model} has random weights; give trained ones with --weights FILE")
    if written.open:
        places = " and ".join(str(n) for n in written.open)
        note(f"put your data in line {places} of {out_file} before you run it")
    if json:
        emit_json({"file": str(out_file), "open_lines": list(written.open), **asdict(written.suits)})
        return
    out().print(
        f"Written to {out_file}: the recipe {written.suits.kind}. Look at it, then:  netsmith plan {out_file}",
        markup=False,
        soft_wrap=True,
    )
