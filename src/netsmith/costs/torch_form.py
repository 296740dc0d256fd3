"""A model run by PyTorch itself: as it is, compiled, in bfloat16, or as statically quantized int8 (PT2E)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from ..data.running import eval_mode
from ..errors import CaptureError, missing_extra
from ..wiring.inputs import as_arguments, call_model, map_tensors
from ..wiring.recorder import tensors_in
from .feeding import quiet
from .free_batch import not_exported, with_floats
from .quiet import quiet_torchao

Run = Callable[[Any], list[torch.Tensor]]


def eager_runner(model: nn.Module, *, bf16: bool = False) -> Run:
    """Calls a copy of the model in eval mode: example inputs -> output tensors in order, as float32."""
    return _runner(_copy(model, bf16), bf16)


def program_runner(program: torch.export.ExportedProgram) -> Run:
    """Calls an exported program: example inputs -> output tensors in order."""
    return _runner(program.module(), False)


def compiled_runner(model: nn.Module, *, bf16: bool = False) -> Run:
    """Calls a copy of the model under ``torch.compile``, with weights folded in as constants ("freezing")."""
    return _runner(torch.compile(_copy(model, bf16)), bf16, _freezing)  # type: ignore[arg-type]


def int8_runner(model: nn.Module, example_inputs: Any, calibration: Sequence[Any]) -> Run:
    """Calls the model in static int8 under ``torch.compile``: torchao's PT2E with the quantizer for x86.

    Args:
        model: not changed.
        example_inputs: the call whose sizes it is compiled for.
        calibration: unlabelled inputs of single calls, of any batch size.

    Raises:
        MissingExtraError: torchao is absent.
        CaptureError: forward cannot be exported or annotated.
    """
    try:
        with quiet_torchao():
            from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
            from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86
    except ImportError as error:
        raise missing_extra("torchao", "quant", "int8 under torch.compile") from error
    from .free_batch import free_dimensions, with_two

    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    inputs = with_two(example_inputs)
    args, kwargs = as_arguments(inputs)
    try:
        # strict: the quantizer looks for residual sums by what only the tracing of bytecode tells
        with eval_mode(model), torch.no_grad(), quiet():
            shapes = free_dimensions(inputs, model)
            program = torch.export.export(with_floats(model), args, kwargs, dynamic_shapes=shapes, strict=True)
            prepared = prepare_pt2e(program.module(), quantizer)
            for batch in calibration:
                call_model(prepared, batch)
            made = convert_pt2e(prepared)
    except Exception as error:
        raise CaptureError(not_exported(model, error, True)) from error
    return _runner(torch.compile(made), False, _freezing)  # type: ignore[arg-type]


def _copy(model: nn.Module, bf16: bool) -> nn.Module:
    own = copy.deepcopy(model).eval()
    return own.to(torch.bfloat16) if bf16 else own


def _freezing() -> AbstractContextManager[Any]:
    from torch._inductor import config

    return config.patch(freezing=True)


def _runner(model: nn.Module, bf16: bool, around: Callable[[], AbstractContextManager[Any]] = nullcontext) -> Run:
    def run(inputs: Any) -> list[torch.Tensor]:
        if bf16:
            inputs = map_tensors(inputs, lambda t: t.bfloat16() if t.is_floating_point() else t)
        with torch.no_grad(), around():
            found = tensors_in(call_model(model, inputs))
        return [t.float() if t.is_floating_point() else t for t in found]

    return run
