"""Measured time of one call."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..errors import InputError
from ..wiring import call_model
from ..wiring.inputs import describe


def latencies(models: Sequence[nn.Module], example_inputs: Any, *, rounds: int = 25, warm_up: int = 5) -> list[float]:
    """Median milliseconds of one warm call of each model, measured in turns so that noise falls on all alike.

    Args:
        models: run in eval mode, without gradients; their modes are restored.
        example_inputs: one call's inputs.
        rounds: timed calls of each model, ≥ 1.
        warm_up: calls before the timing.

    Returns:
        One median per model, in milliseconds, on this machine as it is now.

    Raises:
        InputError: a model does not run with the example inputs.
    """
    modes = [[(module, module.training) for module in model.modules()] for model in models]
    times: list[list[float]] = [[] for _ in models]
    try:
        for model in models:
            model.eval()
        with torch.inference_mode():
            for model in models:
                _first_call(model, example_inputs)
                for _ in range(warm_up - 1):
                    call_model(model, example_inputs)
            _synchronize(models)
            for _ in range(rounds):
                for model, taken in zip(models, times, strict=True):
                    start = time.perf_counter()
                    call_model(model, example_inputs)
                    _synchronize([model])
                    taken.append((time.perf_counter() - start) * 1e3)
    finally:
        for mode in modes:
            for module, training in mode:
                module.training = training
    return [statistics.median(taken) for taken in times]


def _first_call(model: nn.Module, example_inputs: Any) -> None:
    try:
        call_model(model, example_inputs)
    except InputError:
        raise
    except Exception as error:  # the model's own code
        found = sorted({str(p.dtype).removeprefix("torch.") for p in model.parameters()})
        raise InputError(
            f"{type(model).__name__} raises with the example inputs ({describe(example_inputs)}); its parameters are "
            f"{', '.join(found) or 'none'}: {type(error).__name__}: {str(error)[:300]}"
        ) from error


def _synchronize(models: Sequence[nn.Module]) -> None:
    """Wait for the accelerator, where one computes."""
    if any(p.is_cuda for model in models for p in model.parameters()):
        torch.cuda.synchronize()
