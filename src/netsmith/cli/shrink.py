"""``netsmith shrink``: a model, a budget, perhaps data -> a smaller model in a folder."""

from __future__ import annotations

from functools import partial, wraps
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .datasets import open_batches, validation_of
from .group import FAILED
from .models import ModelSource, OpenModel, open_model, state_digest
from .options import Debug, Input, Json, Model, Seed, Weights, parse_budget, parse_shape
from .output import emit_json, note, out
from .progress import stages
from .saved import SOURCE, refuse_occupied, source_text
from .verify import verdict_json, verdict_table

if TYPE_CHECKING:
    from ..recipes import Result

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


def option(help: str, metavar: str, **more: Any) -> Any:
    return typer.Option(help=help, metavar=metavar, show_default=False, **more)


BUDGET_HELP = "Limit of macs, params, bytes or latency_ms; 50% or 0.5 is a share of the original. Can be repeated."
DATA_HELP = "What to score and repair with: digits, imagefolder:DIR, parquet:FILE or path/file.py:function."
EVAL_HELP = "Labelled data to measure accuracy and macro-F1 on. Default: digits:validation with --data digits."
HEAL_HELP = "Afterwards distil from the original, for so many passes over the data."
SCORE_HELP = (
    "What decides which units go: magnitude, norm_scale, random; with --data also taylor, fisher, activation_variance, "
    "wanda, reconstruction, redundancy; or package.module:function or path/file.py:function."
)
IGNORE_HELP = "Leave the inputs and outputs of modules with such names alone, e.g. 'layer1.*'. Can be repeated."
ROUND_HELP = "Make widths multiples of N, as some hardware likes: 8 or 64."
MEAN_HELP = "Of each channel, for image files whose pixels are in 0..1, e.g. 0.485,0.456,0.406."
STD_HELP = "Of each channel, as for --mean."


def shrink(
    model: Model,
    budget: Annotated[list[str], option(BUDGET_HELP, "NAME=VALUE")],
    out_dir: Annotated[
        Path, typer.Option("--out", help="New folder for the result.", metavar="DIR", show_default=False)
    ],
    data: Annotated[str | None, option(DATA_HELP, "DATA")] = None,
    evaluate_on: Annotated[
        str | None, typer.Option("--eval", help=EVAL_HELP, metavar="DATA", show_default=False)
    ] = None,
    heal: Annotated[int | None, option(HEAL_HELP, "EPOCHS", min=1)] = None,
    score: Annotated[str | None, option(SCORE_HELP, "SCORE")] = None,
    ignore: Annotated[list[str] | None, option(IGNORE_HELP, "PATTERN")] = None,
    round_to: Annotated[int | None, option(ROUND_HELP, "N", min=1)] = None,
    weights: Weights = None,
    input: Input = None,
    mean: Annotated[str | None, option(MEAN_HELP, "NUMBERS")] = None,
    std: Annotated[str | None, option(STD_HELP, "NUMBERS")] = None,
    seed: Seed = 0,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Prune a model to a budget, repair it with data, verify it and save it."""
    limits = parse_budget(budget)
    source = ModelSource(model, weights, parse_shape(input), seed)
    refuse_occupied(out_dir)
    options: dict[str, Any] = {"ignore": tuple(ignore or ()), "round_to": round_to}
    if score is not None:
        options["score"] = find_score(score, data)
    # Only now torch is loaded: what is wrong with the options themselves is said at once.
    from ..files import save
    from ..recipes import shrink as shrink_model

    opened = open_model(source)
    if source.brings_no_weights:
        note(f"{model} has random weights; give trained ones with --weights FILE")
    if data is not None:
        options["data"] = open_batches(data, opened.example_inputs, mean=mean, std=std, shuffle=True, seed=seed)
    measured = evaluate_on or validation_of(data or "")
    if measured is not None:
        options["evaluate"] = evaluation(opened, measured, mean, std)
    with stages(STAGES) as tell:
        result = shrink_model(
            opened.model, opened.example_inputs, budget=limits, heal=heal, seed=seed, progress=tell, **options
        )
    beside = {SOURCE: source_text(source, state_digest(opened.model))}  # one folder, whole or not at all
    save(result.model, out_dir, plan=result.plan, beside=beside)
    _report(result, model, out_dir, as_json=json)
    if not result.verdict.ok:
        raise typer.Exit(FAILED)


def find_score(text: str, data: str | None) -> Any:
    """``taylor`` -> ours; ``package.module:function`` -> the caller's own.

    Raises:
        UnknownNameError: neither.
        EvidenceError: it is computed from data, and there is none.
        InputError: it asks for something that is not gathered.
    """
    from ..errors import EvidenceError
    from ..scores.gathering import from_data
    from ..scores.named import score_named
    from .functions import call_user, find_function

    if ":" in text:
        function = find_function(text)
        score: Any = wraps(function)(
            lambda axis, weights, **evidence: call_user(text, partial(function, **evidence), axis, weights)
        )
    else:
        score = score_named(text)
    if data is None and (wanted := from_data(score)):
        raise EvidenceError(f"--score {text} is computed from data ({' and '.join(wanted)}); give --data")
    return score


def evaluation(opened: OpenModel, measured: str, mean: str | None, std: str | None) -> Any:
    """Scores a model on labelled data; what cannot be measured on is refused at once, before the work."""
    labelled = open_batches(measured, opened.example_inputs, mean=mean, std=std)
    _scores_on(islice(labelled, 1))(opened.model)
    return _scores_on(labelled)


def _scores_on(batches: Any) -> Any:
    from ..checks.classification import classification

    return lambda model: classification(model, batches)


def _report(result: Result, model: str, folder: Path, *, as_json: bool) -> None:
    from ..reports import steps_json, steps_table

    if as_json:
        steps = steps_json(result.steps)
        emit_json({"model": model, "folder": str(folder), "steps": steps, "verdict": verdict_json(result.verdict)})
        return
    console = out()
    console.print(steps_table(result.steps, title=model))
    console.print(verdict_table(result.verdict))
    console.print(f"Saved in {folder}. Check it again with:  netsmith verify {folder}", markup=False, soft_wrap=True)
