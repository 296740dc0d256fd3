"""``netsmith measure``: what a model costs, and under which engine it is fastest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    from ..costs import Cost, Timing

ENGINES_HELP = "Time it under eager, torch.compile, ONNX Runtime and OpenVINO, in every precision they have."
RESULT_HELP = "With --engines: a folder that netsmith made of MODEL, to time beside it; DIR has its original there."
KEEP_HELP = "With --engines: write the table into run.json of DIR or --result, for netsmith report."
INT8_HELP = "With --engines: unlabelled data to calibrate int8 with, as for shrink; without it int8 is left out."


def measure(
    what: What,
    original: Original = None,
    weights: Weights = None,
    input: Input = None,
    latency: Annotated[bool, typer.Option(help="Also time warm calls on this machine.")] = True,
    engines: Annotated[bool, typer.Option("--engines", help=ENGINES_HELP)] = False,
    result: Annotated[Path | None, option(RESULT_HELP, "DIR")] = None,
    keep: Annotated[bool, typer.Option("--keep", help=KEEP_HELP)] = False,
    int8: Annotated[str | None, typer.Option("--calibrate", help=INT8_HELP, metavar="DATA", show_default=False)] = None,
    mean: Mean = None,
    std: Std = None,
    seed: Seed = 0,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Parameters, MACs, bytes and latency of a model; with --engines, which engine and precision is fastest."""
    if not engines and (result is not None or int8 is not None or keep):
        raise InputError("--result, --calibrate and --keep are about times under other engines; give --engines too")
    from ..costs import measure as measure_cost
    from ..reports.record import read_run

    source = ModelSource(what, weights, parse_shape(input), seed)
    subject = opened_subject(what, given=source, original=original, trained=False)
    folder = _result_folder(subject, result)
    if keep:
        if folder is None:
            raise InputError("--keep writes into the folder of a result; give DIR, or --result DIR")
        read_run(folder)  # what is wrong with it is said before the work
    with working("measuring"):
        cost = measure_cost(subject.model, subject.opened.example_inputs, latency=latency)
    told = {"model": what, **cost.as_dict()}
    if engines:
        timings, costs = _timed(subject, cost, result, int8, mean, std)
        if keep and folder is not None:
            _keep(folder, timings, subject.opened.example_inputs)
        told |= _told(subject, timings, costs, as_json=json)
    elif not json:
        print_cost(out(), cost)
    if json:
        emit_json(told)


def _result_folder(subject: Subject, result: Path | None) -> Path | None:
    """Of the result that is timed beside its original."""
    if subject.model is subject.opened.model:
        return result
    if result is not None:
        raise InputError(f"{subject.name} is timed beside the original that it was made from; leave out --result")
    return Path(subject.name)


def _timed(
    subject: Subject, cost: Cost, result: Path | None, int8: str | None, mean: str | None, std: str | None
) -> tuple[Sequence[Timing], dict[str, Cost]]:
    """Timings of the original and, where there is one, its result; and what they cost."""
    from ..costs import compare_engines
    from ..costs import measure as measure_cost
    from ..files import load

    source, example_inputs = subject.source, subject.opened.example_inputs
    models = {"original": subject.opened.model}
    if subject.model is not subject.opened.model:
        models["result"] = subject.model
    elif result is not None and is_ensemble(str(result)):
        models["result"] = open_model(ModelSource(str(result), input=source.input, seed=source.seed)).model
    elif result is not None:
        models["result"] = load(result, lambda: build_structure(source))
    costs = {n: cost if m is subject.model else measure_cost(m, example_inputs) for n, m in models.items()}
    batches = None if int8 is None else open_batches(int8, example_inputs, mean=mean, std=std, shuffle=True)
    if batches is None:
        note("int8 is left out; give --calibrate DATA to calibrate it")
    with working("timing engines"):
        return compare_engines(models, example_inputs, calibration=batches), costs


def _keep(folder: Path, timings: Sequence[Timing], example_inputs: Any) -> None:
    from ..costs.free_batch import batch_size
    from ..reports.filling import engines_of
    from ..reports.record import read_run, write_run

    rows = engines_of(timings, batch=batch_size(example_inputs), original="original", result="result")
    write_run(folder, read_run(folder).model_copy(update={"engines": rows}))


def _told(subject: Subject, timings: Sequence[Timing], costs: Mapping[str, Cost], *, as_json: bool) -> dict[str, Any]:
    from ..reports import engine_notes, engines_json, engines_table

    if not as_json:
        console = out()
        print_cost(console, costs["original"] if subject.model is subject.opened.model else costs["result"])
        console.print(engines_table(timings, title=subject.name))
        for line in engine_notes(timings, costs):
            console.print(line, markup=False, soft_wrap=True)
    return engines_json(timings, costs)
