"""A model as ONNX: by PyTorch's exporter, run by ONNX Runtime, in float32 or in statically calibrated int8."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import CaptureError, missing_extra
from .feeding import feed, quiet
from .free_batch import exported, not_exported
from .stopwatch import onnx_session

Run = Callable[[Any], list[torch.Tensor]]


def write_onnx(model: nn.Module, example_inputs: Any, path: Path, *, free_batch: bool = True) -> None:
    """Write the model as an ONNX file; weights of more than 2 GB go into a file beside it.

    Raises:
        MissingExtraError: onnx or onnxscript is absent.
        CaptureError: the model cannot be exported, or uses a function that ONNX does not have.
    """
    need_onnx()
    program = exported(model, example_inputs, free_batch=free_batch)
    try:
        with quiet():
            made = torch.onnx.export(program, dynamo=True, verbose=False)
        assert made is not None
        made.save(path)
    except Exception as error:
        raise CaptureError(not_exported(model, error, free_batch)) from error


def need_onnx() -> None:
    """Raise MissingExtraError unless ONNX files can be written and run."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            __import__(package)
        except ImportError as error:
            raise missing_extra(package, "onnx", "ONNX") from error


def onnx_runner(path: Path, threads: int) -> Run:
    """Runs an ONNX file under ONNX Runtime on the CPU: example inputs -> output tensors in order."""
    need_onnx()
    session = onnx_session(path, threads)
    names = [each.name for each in session.get_inputs()]

    def run(inputs: Any) -> list[torch.Tensor]:
        return [torch.as_tensor(out) for out in session.run(None, feed(names, inputs))]

    return run


def quantize_onnx(source: Path, target: Path, calibration: Sequence[Any]) -> None:
    """Write an int8 form of an ONNX file: quantize and dequantize around every operation, ranges from data.

    Args:
        source: a float32 file.
        target: the file to write.
        calibration: inputs of single calls; the extremes that they reach become the ranges.
    """
    need_onnx()
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    names = input_names(source)

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left: Iterator[Any] = iter(calibration)

        def get_next(self) -> dict[str, Any] | None:
            inputs = next(self.left, None)
            return None if inputs is None else feed(names, inputs)

    with tempfile.TemporaryDirectory() as scratch, quiet():
        ready = Path(scratch) / "ready.onnx"
        quant_pre_process(source, ready, skip_symbolic_shape=True)
        quantize_static(
            ready,
            target,
            Reader(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )


def input_names(path: Path) -> list[str]:
    """Of an ONNX file, weights left out."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    weights = {each.name for each in graph.initializer}
    return [each.name for each in graph.input if each.name not in weights]
