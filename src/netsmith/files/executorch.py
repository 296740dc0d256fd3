"""A model as an ExecuTorch program for phones and small devices, delegated to XNNPACK."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..costs.feeding import quiet
from ..errors import CaptureError, missing_extra
from ..wiring.recorder import tensors_in

_WHAT = "ExecuTorch"


def write_executorch(program: torch.export.ExportedProgram, path: Path) -> None:
    """Lower an exported program and write it.

    Raises:
        MissingExtraError: executorch is absent.
        CaptureError: a function of the program has no ExecuTorch kernel.
    """
    try:
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower
    except ImportError as error:
        raise missing_extra("executorch", "executorch", _WHAT) from error
    try:
        with quiet():
            lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    except Exception as error:
        raise CaptureError(f"ExecuTorch cannot take the model: {type(error).__name__}: {str(error)[:300]}") from error
    path.write_bytes(lowered.buffer)


def executorch_runner(path: Path) -> Callable[[Any], list[torch.Tensor]]:
    """Runs a .pte file: example inputs -> output tensors in order."""
    try:
        from executorch.runtime import Runtime
    except ImportError as error:
        raise missing_extra("executorch", "executorch", _WHAT) from error
    method = Runtime.get().load_program(path).load_method("forward")

    def run(inputs: Any) -> list[torch.Tensor]:
        return [torch.as_tensor(out) for out in method.execute(tensors_in(inputs))]

    return run
