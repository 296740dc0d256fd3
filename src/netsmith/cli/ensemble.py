"""``netsmith ensemble``: trained models and labelled data -> one module in a folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ..errors import InputError
from .datasets import open_batches
from .members import MEMBERS, members_text, open_member, parse_members
from .options import Debug, Input, Json, Mean, Out, Seed, Std, option, parse_shape
from .output import emit_json, note, out, working
from .saved import refuse_occupied

if TYPE_CHECKING:
    from torch import nn

    from ..combining.ensembles import Ensemble, Quality, Selection

KINDS = ("parallel", "blend", "stack", "mixture", "cascade", "select")
MEMBER_HELP = (
    "[NAME=]MODEL, [NAME=]MODEL@FILE with weights, [NAME=]DIR that `netsmith shrink` or `cut` wrote, or "
    "[NAME=]MODEL@DIR where MODEL builds the original. Cheapest first for a cascade."
)
KIND_HELP = "parallel, blend, stack, mixture, cascade, or select: try them all and keep the most accurate."
DATA_HELP = "Labelled data that no member was trained on, to fit with: as for shrink. Not needed by parallel."
EVAL_HELP = "Labelled data to report on. Default: --data itself, and the report says so."
RULE_HELP = "parallel: probabilities, geometric, logits, vote, mean or median."
METHOD_HELP = "blend: log_loss, least_squares or greedy; stack: logistic or ridge."
ACCURACY_HELP = "cascade: the cheapest one with this accuracy on --data, e.g. 0.93."
COST_HELP = "cascade: the most accurate one with this mean cost an example: MACs, or 50% of the last member's."
CONFIDENCE_HELP = "cascade: probability, margin, entropy or agreement."
COMBINE_HELP = "cascade: answer with the last member seen, or with the mean of all seen."


def ensemble(
    members: Annotated[list[str], typer.Argument(help=MEMBER_HELP, metavar="MEMBER...", show_default=False)],
    out_dir: Out,
    kind: Annotated[str, typer.Option(help=KIND_HELP, metavar="KIND")] = "parallel",
    data: Annotated[str | None, option(DATA_HELP, "DATA")] = None,
    evaluate_on: Annotated[
        str | None, typer.Option("--eval", help=EVAL_HELP, metavar="DATA", show_default=False)
    ] = None,
    rule: Annotated[str, typer.Option(help=RULE_HELP, metavar="RULE")] = "probabilities",
    method: Annotated[str | None, option(METHOD_HELP, "METHOD")] = None,
    target_accuracy: Annotated[float | None, option(ACCURACY_HELP, "NUMBER")] = None,
    target_cost: Annotated[str | None, option(COST_HELP, "COST")] = None,
    confidence: Annotated[str, typer.Option(help=CONFIDENCE_HELP, metavar="MEASURE")] = "probability",
    combine: Annotated[str, typer.Option(help=COMBINE_HELP, metavar="HOW")] = "last",
    input: Input = None,
    mean: Mean = None,
    std: Std = None,
    seed: Seed = 0,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Make one model of several trained ones, measure it and save it."""
    if kind not in KINDS:
        raise InputError(f"--kind {kind!r} is unknown; there are {', '.join(KINDS)}")
    if kind != "parallel" and data is None:
        raise InputError(f"--kind {kind} is fitted on labelled data; give --data")
    if kind == "cascade" and (target_accuracy is None) == (target_cost is None):
        raise InputError("a cascade needs one of --target-accuracy and --target-cost")
    refuse_occupied(out_dir)
    sources = parse_members(members, parse_shape(input), seed)
    # Only now torch is loaded: what is wrong with the options themselves is said at once.
    from ..files import save_ensemble
    from ..recipes.ensembling import Choices, ensemble_of

    with working("opening the members"):
        opened = {name: open_member(source) for name, source in sources.items()}
    for name, source in sources.items():
        if source.folder is None and source.source.brings_no_weights:
            note(f"{name} has random weights; give trained ones: {source.source.model}@FILE")
    models = {name: each.model for name, each in opened.items()}
    example_inputs = next(iter(opened.values())).example_inputs
    how = Choices(rule, method, target_accuracy, target_cost, confidence, combine, seed, "--target-cost")

    def read(name: str) -> Iterable[Any]:
        return open_batches(name, example_inputs, mean=mean, std=std)

    with working("fitting"):
        result, tried = ensemble_of(kind, models, None if data is None else read(data), example_inputs, how)
    qualities: dict[str, Quality] = {}
    if evaluate_on is not None or data is not None:
        with working("measuring"):
            qualities = _qualities({**models, "ensemble": result}, read(evaluate_on or data or ""), example_inputs)
        if evaluate_on is None:
            note("measured on the data that the ensemble was fitted on, which flatters it; give --eval")
    plans = {name: each.plan for name, each in opened.items() if each.plan is not None and name in result.names}
    save_ensemble(result, out_dir, plans=plans, beside={MEMBERS: members_text(sources)})
    _report(kind, result, qualities, tried, out_dir, as_json=json)


def _qualities(models: dict[str, nn.Module], data: Any, example_inputs: Any) -> dict[str, Quality]:
    from ..combining.ensembles import evaluate

    return {name: evaluate(model, data, example_inputs) for name, model in models.items()}


def _report(
    kind: str,
    model: Ensemble,
    qualities: dict[str, Quality],
    tried: Selection | None,
    folder: Path,
    *,
    as_json: bool,
) -> None:
    numbers = {name: buffer.tolist() for name, buffer in model.named_buffers(recurse=False)}
    front: list[dict[str, Any]] = (
        [] if tried is None else [{"name": c.name, **c.quality.as_dict()} for c in tried.front]
    )
    if as_json:
        report = {"kind": kind, "made": type(model).__name__, "members": list(model.names), "folder": str(folder)}
        shown = {name: quality.as_dict() for name, quality in qualities.items()}
        emit_json({**report, "numbers": numbers, "quality": shown, "front": front})
        return
    console = out()
    if front:
        console.print(_table("accuracy against mean cost, judged on half of the data", {f["name"]: f for f in front}))
    if qualities:
        console.print(_table(kind, {name: quality.as_dict() for name, quality in qualities.items()}))
    for name, values in numbers.items():
        console.print(f"{name}: {', '.join(f'{v:.4g}' for v in values)}", markup=False, soft_wrap=True)
    console.print(f"Saved in {folder}: {', '.join(model.names)} as one model.", markup=False, soft_wrap=True)


def _table(title: str, rows: dict[str, dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("", overflow="fold")
    for heading in ("accuracy", "F1", "ECE", "log-loss", "mean MACs", "worst MACs"):
        table.add_column(heading, justify="right")
    for name, q in rows.items():
        shares = [f"{q[key]:.4f}" for key in ("accuracy", "f1", "ece", "log_loss")]
        table.add_row(name, *shares, f"{q['mean_macs']:,.0f}", f"{q['worst_macs']:,.0f}")
    return table
