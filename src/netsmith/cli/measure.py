"""``netsmith measure``: what a model costs, and under which engine it is fastest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .datasets import open_batches
from .ensemble_folders import is_ensemble
from .models import ModelSource, build_structure, open_model
from .options import Debug, Input, Json, Mean, Seed, Std, Weights, option, parse_shape
from .output import emit_json, note, out, print_cost, working
from .training import Original, Subject, What, opened_subject

if TYPE_CHECKING:
    from ..costs import Cost

ENGINES_HELP = "Time it under eager, torch.compile, ONNX Runtime and OpenVINO, in every precision they have."
RESULT_HELP = "With --engines: a folder that netsmith made of this model, to time beside it."
INT8_HELP = "With --engines: unlabelled data to calibrate int8 with, as for shrink; without it int8 is left out."


def measure(
    what: What,
    original: Original = None,
    weights: Weights = None,
    input: Input = None,
    latency: Annotated[bool, typer.Option(help="Also time warm calls on this machine.")] = True,
    engines: Annotated[bool, typer.Option("--engines", help=ENGINES_HELP)] = False,
    result: Annotated[Path | None, option(RESULT_HELP, "DIR")] = None,
    int8: Annotated[str | None, typer.Option("--calibrate", help=INT8_HELP, metavar="DATA", show_default=False)] = None,
    mean: Mean = None,
    std: Std = None,
    seed: Seed = 0,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Parameters, MACs, bytes and latency of a model; with --engines, which engine and precision is fastest."""
    if not engines and (result is not None or int8 is not None):
        raise InputError("--result and --calibrate say what to time under other engines; give --engines too")
    from ..costs import measure as measure_cost

    source = ModelSource(what, weights, parse_shape(input), seed)
    subject = opened_subject(what, given=source, original=original, trained=False)
    with working("measuring"):
        cost = measure_cost(subject.model, subject.opened.example_inputs, latency=latency)
    told = {"model": what, **cost.as_dict()}
    if engines:
        told |= _engines(subject, cost, result, int8, mean, std, as_json=json)
    elif not json:
        print_cost(out(), cost)
    if json:
        emit_json(told)


def _engines(
    subject: Subject,
    cost: Cost,
    result: Path | None,
    int8: str | None,
    mean: str | None,
    std: str | None,
    *,
    as_json: bool,
) -> dict[str, Any]:
    from ..costs import compare_engines
    from ..costs import measure as measure_cost
    from ..files import load
    from ..reports import engine_notes, engines_json, engines_table

    source, example_inputs = subject.source, subject.opened.example_inputs
    models, costs = {"original": subject.model}, {"original": cost}
    if result is not None:
        if is_ensemble(str(result)):
            models["result"] = open_model(ModelSource(str(result), input=source.input, seed=source.seed)).model
        else:
            models["result"] = load(result, lambda: build_structure(source))
        costs["result"] = measure_cost(models["result"], example_inputs)
    batches = None if int8 is None else open_batches(int8, example_inputs, mean=mean, std=std, shuffle=True)
    if batches is None:
        note("int8 is left out; give --calibrate DATA to calibrate it")
    with working("timing engines"):
        timings = compare_engines(models, example_inputs, calibration=batches)
    if not as_json:
        console = out()
        print_cost(console, cost)
        console.print(engines_table(timings, title=subject.name))
        for line in engine_notes(timings, costs):
            console.print(line, markup=False, soft_wrap=True)
    return engines_json(timings, costs)
