"""``netsmith regularize``: train a model until whole units are zero, and save it without them."""

from __future__ import annotations

import math
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

import typer

from ..errors import InputError, UnknownNameError
from .chaining import open_start
from .datasets import open_batches
from .models import ModelSource
from .options import (
    BUDGET_HELP,
    Debug,
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
from .training import (
    Accumulate,
    Epochs,
    Every,
    Kept,
    Optimizer,
    Original,
    Precision,
    Rate,
    Resume,
    Steps,
    What,
    finish_models,
    measured_on,
)

PENALTIES = ("group_lasso", "slimming", "growing", "l0", "l1", "l2")

DATA_HELP = "Labelled data to train on: digits, imagefolder:DIR, parquet:FILE or path/file.py:function."
PENALTY_HELP = f"{', '.join(PENALTIES[:-1])} or {PENALTIES[-1]}."
STRENGTH_HELP = "How hard the penalty presses; of growing the highest, 1 unless it is given."
PRESSED_HELP = f"Of growing: the units over it are pressed to zero. {BUDGET_HELP}"
RISE_HELP = "Of growing: how much stronger it gets every --rise-every N steps."
THRESHOLD_HELP = "Units go whose score is at most this share of the best of their axis; 0: what is exactly zero."
REMOVE_HELP = "Remove the units that went to zero."
CLIP_HELP = "Clip gradients, those of the penalty too, to this norm. Default: they are not."
EVAL_HELP = "Labelled data to measure accuracy and macro-F1 on. Default: digits:validation with digits."
Eval = Annotated[str | None, typer.Option("--eval", help=EVAL_HELP, metavar="DATA", show_default=False)]
STAGES = {
    "trace": "reading the model",
    "train": "training under the penalty",
    "repair": "refitting what is left",
}


def regularize(
    what: What,
    data: Annotated[str, option(DATA_HELP, "DATA")],
    out_dir: Out,
    penalty: Annotated[str, typer.Option(help=PENALTY_HELP, metavar="NAME")] = "group_lasso",
    strength: Annotated[float | None, option(STRENGTH_HELP, "NUMBER", min=0)] = None,
    budget: Annotated[list[str] | None, option(PRESSED_HELP, "NAME=VALUE")] = None,
    rise: Annotated[float, typer.Option(help=RISE_HELP, metavar="NUMBER", min=0)] = 1e-4,
    rise_every: Annotated[int, typer.Option(help="See --rise.", metavar="N", min=1)] = 5,
    remove: Annotated[bool, typer.Option("--remove/--keep-units", help=REMOVE_HELP)] = True,
    threshold: Annotated[float, typer.Option(help=THRESHOLD_HELP, metavar="NUMBER", min=0)] = 1e-3,
    round_to: Annotated[int | None, option("Make widths multiples of N.", "N", min=1)] = None,
    ignore: Ignore = None,
    epochs: Epochs = None,
    steps: Steps = None,
    lr: Rate = 0.01,
    optimizer: Optimizer = "sgd",
    clip: Annotated[float | None, option(CLIP_HELP, "NUMBER")] = None,
    accumulate: Accumulate = 1,
    precision: Precision = "no",
    evaluate_on: Eval = None,
    checkpoint: Kept = None,
    checkpoint_every: Every = 100,
    resume: Resume = False,
    model: Original = None,
    weights: Weights = None,
    input: Input = None,
    mean: Mean = None,
    std: Std = None,
    seed: Seed = 0,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Train a model under a penalty, remove the units that it drove to zero, verify the result and save it."""
    limits = _checked(penalty, strength, budget, threshold, rise)
    source = ModelSource(what, weights, parse_shape(input), seed)
    subject = open_start(what, out_dir, given=source, original=model)
    from ..recipes.regularize import regularized
    from ..recipes.schema_training import Regularize
    from ..training import Training

    how = Training(
        epochs=epochs,
        steps=steps,
        lr=lr,
        optimizer=optimizer,
        clip=clip,
        accumulate=accumulate,
        precision=precision,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        resume=resume,
        seed=seed,
    )
    named: dict[str, Any] = {"penalty": penalty, "strength": strength, "budget": limits, "rise": rise}
    named |= {"every": rise_every, "threshold": threshold, "remove": remove}
    options = Regularize(epochs=epochs, steps=steps, round_to=round_to, ignore=tuple(ignore or ()), **named)
    x = subject.opened.example_inputs
    batches = partial(open_batches, data, x, mean=mean, std=std, shuffle=True, seed=seed)
    evaluate = measured_on(subject, data, evaluate_on, mean, std)
    with stages(STAGES) as progress:

        def tell(what: str, done: int, total: int) -> None:
            stage, _, said = what.partition(", ")
            progress(stage, done, total, said)

        found = regularized(subject.model, x, subject.plan, batches, options, how, tell)
    said = [
        *found.said,
        *(f"left as it is: {name} {why}" for name, why in (found.gone.left if found.gone else {}).items()),
    ]
    finish_models(subject, found.models, found.plan, out_dir, evaluate, as_json=json, said=said)


def _checked(
    penalty: str, strength: float | None, budget: list[str] | None, threshold: float, rise: float
) -> dict[str, str | None] | None:
    """The limits of the budget, where there is one.

    Raises:
        UnknownNameError, InputError, BudgetError: what is wrong with the options.
    """
    if penalty not in PENALTIES:
        raise UnknownNameError(f"--penalty {penalty!r} is unknown; there are {', '.join(PENALTIES)}")
    if not threshold < 1:
        raise InputError(f"--threshold {threshold:g} is no share below 1; the default is 0.001")
    if not 0 < rise < math.inf or (strength is not None and not math.isfinite(strength)):
        raise InputError("--rise and --strength are finite numbers, --rise above 0")
    if (penalty == "growing") != bool(budget):
        raise InputError(
            "--penalty growing takes --budget NAME=VALUE (units over it are pressed to zero); no other does"
        )
    if strength is None and penalty != "growing":
        raise InputError(f"--penalty {penalty} needs --strength NUMBER: how hard it presses, e.g. 0.001")
    if not budget:
        return None
    from ..plans.budget import check_saving

    limits = parse_budget(budget)
    check_saving(limits)
    return {name: value for name, value in asdict(limits).items() if value is not None}
