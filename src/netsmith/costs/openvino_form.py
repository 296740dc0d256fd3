"""A model in OpenVINO's form, run on the CPU in float32 or bfloat16, or in int8 ranged by NNCF."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from ..errors import CaptureError, missing_extra
from .feeding import feed, quiet
from .free_batch import batch_size, exported, not_exported, with_two
from .stopwatch import openvino_compiled

Run = Callable[[Any], list[torch.Tensor]]
Hint = Literal["f32", "bf16"]


def need_openvino(what: str = "OpenVINO") -> Any:
    """The package ``openvino``. Raises MissingExtraError where it is absent."""
    try:
        import openvino
    except ImportError as error:
        raise missing_extra("openvino", "openvino", what) from error
    return openvino


def openvino_model(model: nn.Module, example_inputs: Any, *, free_batch: bool = True) -> Any:
    """The model as an ``openvino.Model`` in float32; inputs have the names of forward's arguments.

    Raises:
        MissingExtraError: openvino is absent.
        CaptureError: the model cannot be exported, or uses a function that OpenVINO does not have.
    """
    openvino = need_openvino()
    program = exported(model, example_inputs, free_batch=free_batch)
    try:
        with quiet():
            made = openvino.convert_model(program)
            made.reshape(_shapes(made, example_inputs, free_batch))
    except Exception as error:
        raise CaptureError(not_exported(model, error, free_batch)) from error
    return made


def quantized_openvino(
    made: Any,
    calibration: Sequence[Any],
    *,
    mixed: bool = False,
    float_types: Sequence[str] = (),
    float_names: Sequence[str] = (),
) -> Any:
    """An int8 form of an ``openvino.Model``: NNCF's post-training quantization.

    Weights per output channel and symmetric; activations symmetric, or with ``mixed`` asymmetric where a range is not
    symmetric.

    Args:
        made: float32; not changed.
        calibration: unlabelled inputs of single calls; all are used.
        mixed: NNCF's preset of the same name.
        float_types: operations of OpenVINO that stay floats, as "Add".
        float_names: single operations that stay floats, by their friendly names.

    Raises:
        MissingExtraError: nncf is absent.
    """
    need_openvino()
    try:
        import nncf
    except ImportError as error:
        raise missing_extra("nncf", "openvino", "int8 in OpenVINO") from error
    names = [port.get_any_name() for port in made.inputs]
    feeds = [feed(names, inputs) for inputs in calibration]
    preset = nncf.QuantizationPreset.MIXED if mixed else nncf.QuantizationPreset.PERFORMANCE
    kept = nncf.IgnoredScope(names=list(float_names), types=list(float_types), validate=False)
    with quiet():
        data = nncf.Dataset(feeds)
        return nncf.quantize(made.clone(), data, subset_size=len(feeds), preset=preset, ignored_scope=kept)


def openvino_runner(made: Any, threads: int, hint: Hint = "f32", fixed: Any = None) -> Run:
    """Runs an ``openvino.Model`` on the CPU: example inputs -> output tensors in order.

    Args:
        made: a model, or the path of one.
        threads: of the engine.
        hint: precision of what is not int8.
        fixed: inputs for whose shapes alone the model is compiled, which is faster than for any shape.
    """
    openvino = need_openvino()
    core = openvino.Core()
    made = core.read_model(made) if isinstance(made, Path) else made
    if fixed is not None:
        made = made.clone()
        names = [port.get_any_name() for port in made.inputs]
        made.reshape({name: list(value.shape) for name, value in feed(names, fixed).items()})
    compiled = openvino_compiled(core, made, threads, hint)
    request = compiled.create_infer_request()
    names = [port.get_any_name() for port in compiled.inputs]

    def run(inputs: Any) -> list[torch.Tensor]:
        request.infer(feed(names, inputs))
        return [torch.from_numpy(out.data.copy()) for out in request.output_tensors]

    return run


def write_openvino(made: Any, path: Path) -> None:
    """Write model.xml and model.bin; weights keep their precision."""
    need_openvino().save_model(made, path, compress_to_fp16=False)


def _shapes(made: Any, example_inputs: Any, free_batch: bool) -> dict[str, list[int]]:
    """Sizes of the example, with -1 for a free batch: the converter makes every dimension free."""
    inputs = with_two(example_inputs) if free_batch else example_inputs
    n = batch_size(inputs)
    names = [port.get_any_name() for port in made.inputs]
    return {
        name: [-1 if free_batch and dim == 0 and size == n else size for dim, size in enumerate(value.shape)]
        for name, value in feed(names, inputs).items()
    }
