"""``netsmith shrink``: a model, a budget, perhaps data -> a smaller model in a folder."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..errors import InputError
from .chaining import chained, finish, open_start
from .datasets import given_data
from .models import ModelSource
from .options import (
    BUDGET_HELP,
    Debug,
    Eval,
    Ignore,
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
    "score": "scoring",
    "plan": "planning",
    "repair": "refitting what is left",
    "refine": "refitting layers together",
    "recalibrate": "recalibrating",
    "heal": "distilling",
    "verify": "verifying",
    "measure": "measuring",
}

DATA_HELP = "What to score and repair with: digits, imagefolder:DIR, parquet:FILE or path/file.py:function."
HEAL_HELP = "Afterwards distil from the model that was given, for so many passes over the data."
SCORE_HELP = (
    "What decides which units go: magnitude, norm_scale, random; with --data also taylor, fisher, activation_variance, "
    "wanda, reconstruction, redundancy; or package.module:function or path/file.py:function."
)
DEPTH_HELP = "With --data: whole residual blocks may go too, where that disturbs the outputs less. Takes longer."
MIRROR_HELP = "Repair with the mirror images of --data as well: twice the data, where left and right mean the same."
ROUND_HELP = "Make widths multiples of N, as some hardware likes: 8 or 64."


def shrink(
    what: What,
    budget: Annotated[list[str], option(BUDGET_HELP, "NAME=VALUE")],
    out_dir: Out,
    data: Annotated[str | None, option(DATA_HELP, "DATA")] = None,
    mirror: Annotated[bool, typer.Option("--mirror", help=MIRROR_HELP)] = False,
    evaluate_on: Eval = None,
    heal: Annotated[int | None, option(HEAL_HELP, "EPOCHS", min=1)] = None,
    score: Annotated[str | None, option(SCORE_HELP, "SCORE")] = None,
    ignore: Ignore = None,
    round_to: Annotated[int | None, option(ROUND_HELP, "N", min=1)] = None,
    depth: Annotated[bool, typer.Option("--depth", help=DEPTH_HELP)] = False,
    original: Original = None,
    weights: Weights = None,
    input: Input = None,
    mean: Mean = None,
    std: Std = None,
    seed: Seed = 0,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Prune a model to a budget, repair it with data, verify it and save it."""
    limits = parse_budget(budget)
    source = ModelSource(what, weights, parse_shape(input), seed)
    options: dict[str, Any] = {"ignore": tuple(ignore or ()), "round_to": round_to, "depth": depth}
    if mirror and data is None:
        raise InputError("--mirror mirrors the images of --data; give --data")
    if score is not None:
        options["score"] = find_score(score, data)
    subject = open_start(what, out_dir, given=source, original=original)
    from ..data import mirrored
    from ..recipes import shrink as shrink_model

    opened = subject.opened
    options |= given_data(opened, data, evaluate_on, mean, std, seed)
    if mirror:
        options["data"] = mirrored(options["data"])
    with stages(STAGES) as progress:
        result = shrink_model(
            subject.model, opened.example_inputs, budget=limits, heal=heal, seed=seed, progress=progress, **options
        )
    finish(chained(result, subject), subject, out_dir, options.get("evaluate"), as_json=json)


def find_score(text: str, data: str | None) -> Any:
    """``taylor`` -> ours; ``package.module:function`` -> the caller's own.

    Raises:
        UnknownNameError: neither.
        EvidenceError: it is computed from data, and there is none.
        InputError: it asks for something that is not gathered.
    """
    from ..errors import EvidenceError
    from ..scores.addressed import addressed_score
    from ..scores.gathering import from_data

    score = addressed_score(text)
    if data is None and (wanted := from_data(score)):
        raise EvidenceError(f"--score {text} is computed from data ({' and '.join(wanted)}); give --data")
    return score
