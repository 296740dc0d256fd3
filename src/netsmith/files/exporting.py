"""``export``: a model in the form of another engine, run once and compared before it counts as written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import __version__
from ..costs.engines import largest_difference
from ..costs.free_batch import batch_size, exported, with_batch
from ..costs.onnx_form import onnx_runner, quantize_onnx, write_onnx
from ..costs.openvino_form import openvino_model, openvino_runner, quantized_openvino, write_openvino
from ..costs.torch_form import eager_runner, program_runner
from ..data.running import call, each_batch, eval_mode
from ..errors import InputError, ModelError, UnknownNameError
from .executorch import executorch_runner, write_executorch
from .folder import new_folder

Run = Callable[[Any], list[torch.Tensor]]
TARGETS = {
    "onnx": "model.onnx",
    "openvino": "model.xml",
    "torch-export": "model.pt2",
    "executorch": "model.pte",
}
WITH_INT8 = ("onnx", "openvino")
SUMMARY = "export.json"
_TOLERANCE = 1e-3  # of the largest output, in float32; engines add in another order


@dataclass(frozen=True)
class Exported:
    """What was written, and how far it is from the model.

    Attributes:
        to: a key of ``TARGETS``.
        precision: "fp32" or "int8".
        file: of the model, inside the folder.
        bytes: of all files of the model.
        batches: batch sizes with which the file was run.
        largest_difference: of any output from the model's, as a share of the largest output.
    """

    to: str
    precision: str
    file: str
    bytes: int
    batches: tuple[int, ...]
    largest_difference: float


def export(
    model: nn.Module,
    example_inputs: Any,
    path: str | os.PathLike[str],
    *,
    to: str,
    calibration: Iterable[Any] | None = None,
    most_batches: int = 16,
    free_batch: bool = True,
) -> Exported:
    """Write a model for another engine, run the written file, and compare its outputs with the model's.

    Args:
        model: any module, quantized ones too; not changed.
        example_inputs: one call's inputs.
        path: a folder that does not exist yet, or an empty one; it appears whole or not at all. Beside the model it
            gets ``export.json``, which says how the file was checked.
        to: "onnx", "openvino", "torch-export" or "executorch".
        calibration: unlabelled batches; with them "onnx" and "openvino" are written in statically quantized int8, whose
            difference is reported and not limited.
        most_batches: of them used.
        free_batch: the file takes any batch size; it is run with the example's and with one more.

    Returns:
        What was written.

    Raises:
        UnknownNameError: no such target. InputError: int8 for a target that has none.
        MissingExtraError: a package is absent; names the extra.
        CaptureError: forward cannot be exported.
        ModelError: the written file gives other outputs than the model. FileError: the folder cannot be written.

    Example:
        >>> export(model, x, "out/onnx", to="onnx").largest_difference  # doctest: +SKIP
        3.4e-07
    """
    if to not in TARGETS:
        raise UnknownNameError(f"there is no target {to!r}; known: {', '.join(TARGETS)}")
    if not isinstance(model, nn.Module):
        raise InputError(f"model is a {type(model).__name__}; give a torch.nn.Module")
    if calibration is not None and to not in WITH_INT8:
        raise InputError(f"calibration makes int8, and {to} has none here; give it with {' or '.join(WITH_INT8)}")
    batches = None if calibration is None else [x for x, _ in islice(each_batch(calibration), most_batches)]
    if batches:  # before an engine is given them: its errors name no batch
        with torch.no_grad(), eval_mode(model):
            call(model, batches[0])
    sizes = [batch_size(example_inputs)]
    if free_batch and to != "executorch":
        sizes.append(sizes[0] + 1)
    with new_folder(path) as folder:
        file = folder / TARGETS[to]
        run = _written(model, example_inputs, file, to, batches, free_batch)
        worst = 0.0
        for size in sizes:
            inputs = with_batch(example_inputs, size)
            with torch.random.fork_rng(devices=[]):
                reference = eager_runner(model)(inputs)
            worst = max(worst, largest_difference(reference, run(inputs)))
        if batches is None and not worst <= _TOLERANCE:
            raise ModelError(
                f"the {to} file gives other outputs than the model: they differ by {worst:.1e} of the largest output "
                f"(limit {_TOLERANCE:.0e}). Nothing was written; use another target, and please report the model."
            )
        written = sum(each.stat().st_size for each in folder.iterdir())
        precision = "fp32" if batches is None else "int8"
        result = Exported(to, precision, file.name, written, tuple(sizes), worst)
        summary = {"netsmith": __version__, "torch": str(torch.__version__), **asdict(result)}
        (folder / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return result


def _written(
    model: nn.Module, example_inputs: Any, file: Path, to: str, batches: Sequence[Any] | None, free_batch: bool
) -> Run:
    """Write the file, and what runs it."""
    threads = torch.get_num_threads()
    if to == "onnx":
        if batches is None:
            write_onnx(model, example_inputs, file, free_batch=free_batch)
        else:
            floats = file.with_name("floats.onnx")
            write_onnx(model, example_inputs, floats, free_batch=free_batch)
            quantize_onnx(floats, file, batches)
            for left in file.parent.glob("floats.onnx*"):
                left.unlink()
        return onnx_runner(file, threads)
    if to == "openvino":
        made = openvino_model(model, example_inputs, free_batch=free_batch)
        write_openvino(made if batches is None else quantized_openvino(made, batches), file)
        return openvino_runner(file, threads)
    program = exported(model, example_inputs, free_batch=free_batch and to != "executorch")
    if to == "executorch":
        write_executorch(program, file)
        return executorch_runner(file)
    torch.export.save(program, file)
    return program_runner(torch.export.load(file))
