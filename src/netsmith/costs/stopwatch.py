"""Times an exported file in this process: ``python stopwatch.py ENGINE THREADS ROUNDS FILE``.

Beside the file lie its call's inputs, FILE.npz. Writes the median milliseconds of a call. Run by path, so that it
starts without PyTorch; see ``fresh_processes``.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def onnx_session(path: Any, threads: int) -> Any:
    """An ONNX file under ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def openvino_compiled(core: Any, made: Any, threads: int, hint: str) -> Any:
    """An ``openvino.Model`` on the CPU; ``hint``: precision of what is not int8."""
    options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}
    return core.compile_model(made, "CPU", options)


def runner(engine: str, threads: int, path: str) -> Callable[[], Any]:
    """What makes one call of a file."""
    with np.load(f"{path}.npz") as arrays:
        inputs = dict(arrays)
    if engine == "onnxruntime":
        session = onnx_session(path, threads)
        return lambda: session.run(None, inputs)
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    model.reshape({name: list(value.shape) for name, value in inputs.items()})
    request = openvino_compiled(core, model, threads, "f32").create_infer_request()
    return lambda: request.infer(inputs)


def main(engine: str, threads: int, rounds: int, path: str) -> float:
    """Median milliseconds of warm calls."""
    call, taken = runner(engine, threads, path), []
    for _ in range(2 + rounds):
        start = time.perf_counter()
        call()
        taken.append((time.perf_counter() - start) * 1e3)
    return statistics.median(taken[2:])


if __name__ == "__main__":
    sys.stdout.write(f"{main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])}\n")
