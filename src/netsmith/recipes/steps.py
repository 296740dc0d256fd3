"""What every recipe tells of its steps: progress meanwhile, cost and scores at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ..costs import latencies, measure
from ..data.running import eval_mode
from ..errors import InputError
from .result import Step

Evaluate = Callable[[nn.Module], float | Mapping[str, float]]
Progress = Callable[[str, int, int], None]


def telling(tell: Progress, what: str) -> Callable[[int, int, str], None]:
    """The progress of one stage, told with the stage's name."""
    return lambda done, total, _: tell(what, done, total)


def measured_steps(models: Mapping[str, nn.Module], example_inputs: Any, evaluate: Evaluate | None) -> tuple[Step, ...]:
    """Cost, latency (measured in turns) and scores of the model after each step.

    Raises:
        InputError: evaluate returns no number, and no mapping from names to numbers.
    """
    times = latencies(list(models.values()), example_inputs)
    return tuple(
        Step(name, replace(measure(each, example_inputs), latency_ms=time), scores_of(evaluate, each))
        for (name, each), time in zip(models.items(), times, strict=True)
    )


def scores_of(evaluate: Evaluate | None, model: nn.Module) -> dict[str, float]:
    if evaluate is None:
        return {}
    with eval_mode(model), torch.no_grad():
        value = evaluate(model)
    try:
        named = value if isinstance(value, Mapping) else {"score": value}
        return {name: float(score) for name, score in named.items()}
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"evaluate returned {value!r:.80}; it must return one number, or a mapping from names to numbers"
        ) from error
