"""The same models under several engines and precisions, measured in turns: which is the fastest here?"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..data.running import each_batch
from ..errors import InputError, NetsmithError, UnknownNameError
from .onnx_form import onnx_runner, quantize_onnx, write_onnx
from .openvino_form import openvino_model, openvino_runner, quantized_openvino
from .torch_form import compiled_runner, eager_runner, int8_runner

Run = Callable[[Any], list[torch.Tensor]]
Progress = Callable[[int, int, str], None]

ENGINES: Mapping[str, tuple[str, ...]] = {
    "eager": ("fp32", "bf16"),
    "compile": ("fp32", "bf16", "int8"),
    "onnxruntime": ("fp32", "int8"),
    "openvino": ("fp32", "bf16", "int8"),
}


@dataclass(frozen=True)
class Timing:
    """One model under one engine in one precision.

    Attributes:
        model: its name.
        engine, precision: keys of ``ENGINES``.
        latency_ms: median milliseconds of one warm call; None where it could not be run.
        difference: largest difference of the outputs from those of the model in eager float32, as a share of the
            largest output; None where it could not be run.
        why: why it could not be run, in one line; "" otherwise.
    """

    model: str
    engine: str
    precision: str
    latency_ms: float | None
    difference: float | None
    why: str = ""


def compare_engines(
    models: Mapping[str, nn.Module],
    example_inputs: Any,
    *,
    engines: Iterable[str] = tuple(ENGINES),
    precisions: Iterable[str] = ("fp32", "bf16", "int8"),
    calibration: Iterable[Any] | None = None,
    most_batches: int = 16,
    rounds: int = 25,
    progress: Progress | None = None,
) -> tuple[Timing, ...]:
    """Time every model under every engine and precision, one after the other in turns, so that noise falls on all.

    Every engine uses as many threads as PyTorch. What is measured is compiled for the example's sizes, and moves inputs
    and outputs as its own interface does.

    Args:
        models: name -> model; not changed.
        example_inputs: one call's inputs.
        engines, precisions: which to try, of ``ENGINES``.
        calibration: unlabelled batches, each ``x`` or ``(x, y)``; without them int8 is left out.
        most_batches: of them used.
        rounds: timed calls of each, ≥ 1.
        progress: called with (prepared, to prepare, what).

    Returns:
        A timing a model, engine and precision; what cannot run (a package is absent, a function is unknown to the
        engine) says why.

    Raises:
        UnknownNameError: no such engine or precision.
        InputError: no models, or rounds < 1.
    """
    pairs = _pairs(tuple(engines), tuple(precisions), calibration is not None)
    if not models:
        raise InputError("there is no model to time; give {'original': model}")
    if rounds < 1:
        raise InputError(f"rounds={rounds} must be at least 1")
    batches = [] if calibration is None else [x for x, _ in islice(each_batch(calibration), most_batches)]
    runs: dict[tuple[str, str, str], Run] = {}
    why: dict[tuple[str, str, str], str] = {}
    differences: dict[tuple[str, str, str], float] = {}
    total = len(models) * len(pairs)
    for name, model in models.items():
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            reference = eager_runner(model)(example_inputs)
        for engine, precision in pairs:
            key = (name, engine, precision)
            if progress:
                progress(len(runs) + len(why), total, f"{name}: {engine} {precision}")
            try:
                run = prepared(model, example_inputs, engine, precision, batches)
                differences[key] = largest_difference(reference, run(example_inputs))
                run(example_inputs)
                runs[key] = run
            except NetsmithError as error:
                why[key] = str(error).splitlines()[0]
            except Exception as error:  # the engine itself: its table row says so, the others are still measured
                why[key] = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
    medians = _in_turns(runs, example_inputs, rounds)
    return tuple(
        Timing(name, engine, precision, medians.get(key), differences.get(key), why.get(key, ""))
        for name in models
        for engine, precision in pairs
        for key in [(name, engine, precision)]
    )


def prepared(model: nn.Module, example_inputs: Any, engine: str, precision: str, batches: Sequence[Any]) -> Run:
    """What calls a model under one engine: example inputs -> output tensors.

    Raises:
        MissingExtraError: a package is absent. CaptureError: the engine cannot take the model.
    """
    threads, bf16 = torch.get_num_threads(), precision == "bf16"
    if engine == "eager":
        return eager_runner(model, bf16=bf16)
    if engine == "compile":
        if precision == "int8":
            return int8_runner(model, example_inputs, batches)
        return compiled_runner(model, bf16=bf16)
    if engine == "openvino":
        made = openvino_model(model, example_inputs)
        made = quantized_openvino(made, batches) if precision == "int8" else made
        return openvino_runner(made, threads, "f32" if precision == "fp32" else "bf16", fixed=example_inputs)
    with tempfile.TemporaryDirectory() as scratch:
        floats, integers = Path(scratch) / "model.onnx", Path(scratch) / "int8.onnx"
        write_onnx(model, example_inputs, floats)
        if precision == "int8":
            quantize_onnx(floats, integers, batches)
        return onnx_runner(integers if precision == "int8" else floats, threads)


def fastest(timings: Iterable[Timing], model: str, most_difference: float | None = None) -> Timing | None:
    """The quickest of one model's timings whose outputs differ by no more than that; None where none ran."""
    ran = [t for t in timings if t.model == model and t.latency_ms is not None and t.difference is not None]
    close = [t for t in ran if most_difference is None or (t.difference or 0.0) <= most_difference]
    return min(close, key=lambda t: t.latency_ms or 0.0, default=None)


def largest_difference(reference: Sequence[torch.Tensor], found: Sequence[torch.Tensor]) -> float:
    """Largest difference of two lists of outputs, as a share of the largest reference value; inf for other shapes."""
    worst = 0.0 if len(reference) == len(found) else float("inf")
    for a, b in zip(reference, found, strict=False):
        if a.shape != b.shape:
            return float("inf")
        if a.numel():
            gap = float((a.double() - b.double()).abs().max()) / max(float(a.double().abs().max()), 1e-12)
            worst = max(worst, gap if gap == gap else float("inf"))
    return worst


def _pairs(engines: Sequence[str], precisions: Sequence[str], calibrated: bool) -> list[tuple[str, str]]:
    known = {precision for each in ENGINES.values() for precision in each}
    for name, names in ((engines, set(ENGINES)), (precisions, known)):
        for each in name:
            if each not in names:
                raise UnknownNameError(f"there is no engine or precision {each!r}; known: {', '.join(sorted(names))}")
    return [
        (engine, precision)
        for engine in engines
        for precision in ENGINES[engine]
        if precision in precisions and (calibrated or precision != "int8")
    ]


def _in_turns(runs: Mapping[Any, Run], example_inputs: Any, rounds: int) -> dict[Any, float]:
    taken: dict[Any, list[float]] = {key: [] for key in runs}
    for _ in range(rounds):
        for key, run in runs.items():
            start = time.perf_counter()
            run(example_inputs)
            taken[key].append((time.perf_counter() - start) * 1e3)
    return {key: statistics.median(times) for key, times in taken.items()}
