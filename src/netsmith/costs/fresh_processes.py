"""Latency under a foreign engine as a process finds it that has just begun, not as this one happens to.

Where an engine's weights and buffers come to lie is drawn once a process: a network of odd widths takes 0.95 to 1.06 of
what it takes in the next, while in one process its times agree. And models that take turns in one process share its
caches, which they will not do where they are used.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..errors import InputError
from . import stopwatch
from .feeding import feed
from .onnx_form import input_names, write_onnx
from .openvino_form import openvino_model, write_openvino

FOREIGN = ("onnxruntime", "openvino")
_PROCESSES = 5


def in_fresh_processes(
    models: Sequence[nn.Module], example_inputs: Any, engine: str, rounds: int, processes: int = _PROCESSES
) -> list[float]:
    """Median milliseconds of one warm call of each model in float32, over several processes of each, in turns.

    Args:
        models: not changed. Each one's time is taken as a share of the first's at the same moment.
        example_inputs: one call's inputs.
        engine: one of ``FOREIGN``.
        rounds: timed calls of each in all, ≥ 1.
        processes: of each model.

    Raises:
        MissingExtraError: a package is absent. CaptureError: the engine cannot take a model. InputError: it fails.
    """
    with tempfile.TemporaryDirectory() as scratch:
        paths = [str(_written(m, example_inputs, engine, Path(scratch) / str(i))) for i, m in enumerate(models)]
        each = [str(torch.get_num_threads()), str(-(-rounds // processes))]
        command = [sys.executable, str(stopwatch.__file__), engine, *each]
        found = [[_timing([*command, path], engine) for path in paths] for _ in range(processes)]
    first = statistics.median(times[0] for times in found)
    return [first * statistics.median(times[i] / times[0] for times in found) for i in range(len(models))]


def _written(model: nn.Module, example_inputs: Any, engine: str, path: Path) -> Path:
    if engine == "onnxruntime":
        path = path.with_suffix(".onnx")
        write_onnx(model, example_inputs, path)
        names = input_names(path)
    else:
        path = path.with_suffix(".xml")
        made = openvino_model(model, example_inputs)
        write_openvino(made, path)
        names = [port.get_any_name() for port in made.inputs]
    np.savez(f"{path}.npz", **feed(names, example_inputs))
    return path


def _timing(command: Sequence[str], engine: str) -> float:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise InputError(f"engine {engine!r} cannot run the model: {last[:300]}")
    return float(done.stdout.splitlines()[-1])
