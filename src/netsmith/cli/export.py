"""``netsmith export``: a saved model -> a file for another engine, run once and compared."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .datasets import open_batches
from .ensemble_folders import is_ensemble, with_members
from .models import ModelSource, build_structure, open_model
from .options import Debug, Json, Mean, Std, option
from .output import emit_json, out, working
from .saved import read_source, refuse_occupied
from .verify import Folder, Original, OriginalWeights

TO_HELP = "onnx, openvino, torch-export or executorch."
INT8_HELP = "Write onnx or openvino in int8, ranges calibrated on this unlabelled data: as for shrink."
FREE_HELP = "The file takes any batch size, or only that of the example input."


def export(
    folder: Folder,
    to: Annotated[str, option(TO_HELP, "TARGET")],
    out_dir: Annotated[Path, typer.Option("--out", help="New folder for the file.", metavar="DIR", show_default=False)],
    int8: Annotated[str | None, typer.Option("--calibrate", help=INT8_HELP, metavar="DATA", show_default=False)] = None,
    free_batch: Annotated[bool, typer.Option("--free-batch/--fixed-batch", help=FREE_HELP)] = True,
    model: Original = None,
    weights: OriginalWeights = None,
    mean: Mean = None,
    std: Std = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a saved model for another engine, run the file and compare its outputs."""
    whole = is_ensemble(str(folder))
    if whole:
        source = ModelSource(with_members(folder, model), weights)
    else:
        source, _ = read_source(folder, model=model, weights=weights)
    refuse_occupied(out_dir)
    from ..files import export as export_model
    from ..files import load

    opened = open_model(source)
    example_inputs = opened.example_inputs
    calibration = None if int8 is None else open_batches(int8, example_inputs, mean=mean, std=std, shuffle=True)
    with working("exporting"):
        edited = opened.model if whole else load(folder, lambda: build_structure(source))
        done = export_model(edited, example_inputs, out_dir, to=to, calibration=calibration, free_batch=free_batch)
    if json:
        emit_json({"folder": str(out_dir), **asdict(done)})
        return
    batches = " and ".join(map(str, done.batches))
    out().print(
        f"{out_dir / done.file}: {done.bytes:,} bytes, {done.precision}; run with {batches} examples, its outputs "
        f"differ from the model's by {done.largest_difference:.1e} of the largest at most",
        markup=False,
        soft_wrap=True,
    )
