"""``netsmith search``: a model, budgets, data -> the best structures under each, in a folder."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import FileError, InputError
from .called import asked, command_line, command_name
from .chaining import open_start
from .datasets import evaluation, open_batches, validation_of
from .group import FAILED
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
from .output import emit_json, out
from .progress import stages
from .saved import SOURCE, refuse_occupied, source_text
from .training import Original, What

if TYPE_CHECKING:
    from ..plans import Budget
    from ..recipes import Study

STAGES = {
    "trace": "reading the model",
    "evaluate": "scoring the original",
    "curves": "measuring error curves",
    "influence": "measuring blocks",
    "latency": "timing calls and widths",
    "search": "searching",
    "trial": "trials",
    "finalists": "finalists",
}
OURS = {"trials.db", "trials.db-journal", "models", "front", "run.json", "candidates.json", "report.html"}

EACH_HELP = "Each is a budget of its own; NAME=VALUE,NAME=VALUE limits both."
BUDGETS_HELP = BUDGET_HELP.replace("Can be repeated.", EACH_HELP)
DATA_HELP = "What to repair and heal with: digits, imagefolder:DIR, parquet:FILE or path/file.py:function."
STRATEGY_HELP = "allocation, evolution, tpe, nsga2, random or uniform. Can be repeated: one after the other."
TRIALS_HELP = "Structures judged by each strategy, over all budgets."
HEAL_HELP = "Distil finalists from the model that was given, for so many passes over the data, before the choice."
STORAGE_HELP = "Where trials are kept, if not in DIR: a .db or .journal file, or the URL of a database."
RAY_HELP = "Address of a Ray cluster to run trials on, or local."
ONLY_HELP = "Change nothing but what modules or axes with such names make, e.g. 'layer4.*'. Can be repeated."
ENGINE_HELP = "In which latency budgets are measured: eager, compile, onnxruntime or openvino."
OBJECTIVE_HELP = "The score that decides: accuracy or f1."
OPERATOR_HELP = "Maps that may take a block's place: linear, conv2d or channels. Can be repeated."
PRECISION_HELP = "Also try weights as int8, int4 or dynamic-int8. Can be repeated."


def search(
    what: What,
    budget: Annotated[list[str], option(BUDGETS_HELP, "NAME=VALUE")],
    data: Annotated[str, option(DATA_HELP, "DATA")],
    out_dir: Out,
    evaluate_on: Eval = None,
    strategy: Annotated[list[str] | None, option(STRATEGY_HELP, "NAME")] = None,
    trials: Annotated[int, typer.Option(help=TRIALS_HELP, metavar="N", min=1)] = 24,
    time: Annotated[float | None, option("Begin no further trials after so many seconds.", "SECONDS", min=0)] = None,
    heal: Annotated[int | None, option(HEAL_HELP, "EPOCHS", min=1)] = None,
    finalists: Annotated[int, typer.Option(help="Healed of each budget and strategy.", metavar="N", min=1)] = 3,
    depth: Annotated[bool, typer.Option("--depth", help="Blocks may go too.")] = False,
    operator: Annotated[list[str] | None, option(OPERATOR_HELP, "KIND")] = None,
    precision: Annotated[list[str] | None, option(PRECISION_HELP, "SCHEME")] = None,
    only: Annotated[list[str] | None, option(ONLY_HELP, "PATTERN")] = None,
    ignore: Ignore = None,
    round_to: Annotated[int | None, option("Make widths multiples of N.", "N", min=1)] = None,
    objective: Annotated[str, typer.Option(help=OBJECTIVE_HELP, metavar="NAME")] = "accuracy",
    engine: Annotated[str, typer.Option(help=ENGINE_HELP, metavar="NAME")] = "eager",
    workers: Annotated[int, typer.Option(help="Processes that judge structures.", metavar="N", min=1)] = 1,
    ray: Annotated[str | None, option(RAY_HELP, "ADDRESS")] = None,
    storage: Annotated[str | None, option(STORAGE_HELP, "WHERE")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the search that DIR holds.")] = False,
    original: Original = None,
    weights: Weights = None,
    input: Input = None,
    mean: Mean = None,
    std: Std = None,
    seed: Seed = 0,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Try many structures under each budget, heal the best, and save the front."""
    budgets = [parse_budget(text.split(",")) for text in budget]
    source = ModelSource(what, weights, parse_shape(input), seed)
    if resume:
        _refuse_foreign(out_dir)
    else:
        refuse_occupied(out_dir)
    # Only now torch is loaded: what is wrong with the options themselves is said at once.
    subject = open_start(what, None, given=source, original=original)
    from ..checks.classification import classification
    from ..recipes.chaining import Earlier
    from ..recipes.search import search as search_structures
    from ..searches import Space

    several = {"operators": operator, "precision": precision, "only": only, "ignore": ignore}
    options: dict[str, Any] = {name: tuple(given or ()) for name, given in several.items()}
    space = Space(depth=depth, round_to=round_to, **options)
    opened = subject.opened
    batches = open_batches(data, opened.example_inputs, mean=mean, std=std, shuffle=True, seed=seed)
    measured = evaluate_on or validation_of(data)
    if measured is None:
        raise InputError("structures are compared on labelled data that they were not repaired with; give --eval DATA")
    evaluation(opened, measured, mean, std)  # says at once what is wrong with it
    labelled = open_batches(measured, opened.example_inputs, mean=mean, std=std)
    with stages(STAGES) as progress:
        study = search_structures(
            subject.model,
            opened.example_inputs,
            data=batches,
            budgets=budgets,
            evaluate=partial(classification, batches=labelled),
            space=space,
            strategy=tuple(strategy or ("allocation",)),
            trials=trials,
            time=time,
            heal=heal,
            finalists=finalists,
            maximize=objective,
            seed=seed,
            storage=storage or out_dir,
            workers=workers,
            ray=ray,
            engine=engine,
            progress=progress,
        )
    if subject.model is not opened.model:
        study = replace(study, earlier=Earlier(opened.model, subject.plan))
    study.save(
        out_dir,
        title=f"{command_name()}: {what}",
        model=subject.source.model,
        command=[command_line()],
        asked=asked(),
        beside={SOURCE: source_text(subject.source, subject.digest)},
    )
    _tell(study, budgets, out_dir, as_json=json)


def _refuse_foreign(folder: Path) -> None:
    """What ``--resume`` may go on with: a folder of an earlier search, or none."""
    if folder.is_file():
        raise FileError(f"--out {folder} is a file; give a folder")
    strange = sorted(path.name for path in folder.iterdir() if path.name not in OURS) if folder.is_dir() else []
    if strange:
        raise FileError(f"--out {folder} holds {strange[0]}, which no search wrote; give the folder of a search")


def _tell(study: Study, budgets: list[Budget], folder: Path, *, as_json: bool) -> None:
    """The front, and which point is best under each budget; exits with 1 where a promise is not kept."""
    from ..errors import BudgetError
    from ..recipes.study_record import FRONT, points

    best: list[str | None] = []
    for wanted in budgets:
        try:
            best.append(study.best(wanted).name)
        except BudgetError:
            best.append(None)
    found = points(study)
    verdicts = {candidate.name: study.build(candidate).verdict.ok for candidate in found}
    if as_json:
        told = [
            {
                "name": c.name,
                "folder": str(folder / FRONT / c.name),
                **c.cost.as_dict(),
                **c.scores,
                "verified": verdicts[c.name],
            }
            for c in found
        ]
        original = {**study.original.cost.as_dict(), **study.original.scores}
        count = sum(c.rejected is None for c in study.candidates)
        emit_json({"folder": str(folder), "original": original, "judged": count, "front": told, "best": best})
    else:
        console = out()
        console.print(str(study), markup=False, soft_wrap=True)
        for wanted, name in zip(budgets, best, strict=True):
            console.print(f"Best under {wanted}: {name or 'none'}", markup=False, soft_wrap=True)
        console.print(
            f"Saved in {folder}. Check a point again with:  netsmith verify {folder / FRONT}/NAME",
            markup=False,
            soft_wrap=True,
        )
        console.print(f"See all of it with:  netsmith report {folder} --open", markup=False, soft_wrap=True)
    if not all(verdicts.values()):
        raise typer.Exit(FAILED)
