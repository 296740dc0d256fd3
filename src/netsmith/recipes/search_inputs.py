"""What ``search`` is given: checked, split and named."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch

from ..errors import InputError, UnknownNameError
from ..evidence import as_data, calibration_batches, device_of, examples_in
from ..plans import Budget
from ..searches.strategies import STRATEGIES, Strategy
from ..wiring import Wiring
from ..wiring.recorder import tensors_in
from .soundness import check_model
from .steps import Evaluate

_REPAIR, _HELD_OUT = 1024, 256  # examples to repair with, and to measure divergence on


def checked(
    model: Any, data: Any, budgets: Any, evaluate: Any, heal: Any, numbers: Mapping[str, Any]
) -> tuple[Budget, ...]:
    """The budgets, after all else that can be checked without work.

    Raises:
        InputError, ModelError: what is wrong, and what to give.
    """
    check_model(model)
    wanted = (budgets,) if isinstance(budgets, Budget) else tuple(budgets) if isinstance(budgets, Sequence) else ()
    if not wanted or not all(isinstance(each, Budget) for each in wanted):
        raise InputError(f"budgets={budgets!r:.80}; give one or several, e.g. [Budget(macs=0.5), Budget(macs=0.25)]")
    if isinstance(data, Iterator):
        raise InputError("data is an iterator that can be gone through once; give a list of batches or a DataLoader")
    if evaluate is not None and not callable(evaluate):
        raise InputError(f"evaluate is a {type(evaluate).__name__}; give a function model -> score or scores by name")
    if heal is not None and not callable(heal) and (not isinstance(heal, int) or isinstance(heal, bool) or heal < 1):
        raise InputError(
            f"heal={heal!r}: give a number of epochs ≥ 1, a function (edited, original) -> trained, or None"
        )
    for name, value in numbers.items():
        least = 0 if name == "seed" else 1
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise InputError(f"{name}={value!r} must be an int ≥ {least}")
    return wanted


def strategies_of(given: Any) -> list[tuple[str, Strategy]]:
    """(name, function) of each strategy.

    Raises:
        UnknownNameError: a name that none has. InputError: neither a name nor a function.
    """
    each = [given] if isinstance(given, str) or callable(given) else list(given)
    found: list[tuple[str, Strategy]] = []
    for one in each:
        if isinstance(one, str) and one not in STRATEGIES:
            raise UnknownNameError(
                f"there is no strategy {one!r}; there are {', '.join(STRATEGIES)}, or give a function"
            )
        if not isinstance(one, str) and not callable(one):
            raise InputError(f"strategy={one!r} is no name and no function (problem, judge, trials, seed) -> None")
        found.append((one, STRATEGIES[one]) if isinstance(one, str) else (getattr(one, "__name__", "custom"), one))
    if len({name for name, _ in found}) < len(found) or not found:
        raise InputError(f"strategy={given!r}: give one or several, each once")
    return found


def objective_of(
    scores: Mapping[str, float], evaluate: Evaluate | None, maximize: str | None, minimize: str | None
) -> tuple[str, bool]:
    """Name of the score that decides, and whether higher is better.

    Raises:
        InputError: both maximize and minimize. UnknownNameError: ``evaluate`` gives no such score.
    """
    if maximize is not None and minimize is not None:
        raise InputError("give one of maximize and minimize: the name of the score that decides")
    if evaluate is None:
        return "divergence", False
    name = maximize or minimize or next(iter(scores))
    if name not in scores:
        raise UnknownNameError(f"evaluate gives no score {name!r}; it gives {', '.join(scores)}")
    return name, minimize is None


def value_of(objective: str, higher: bool) -> Callable[[Mapping[str, float]], float]:
    """Scores -> the objective, higher = better; NaN counts as worst."""

    def value(scores: Mapping[str, float]) -> float:
        found = scores[objective] if higher else -scores[objective]
        return found if found == found else float("-inf")

    return value


def split(wiring: Wiring, data: Iterable[Any]) -> tuple[list[Any], list[Any]]:
    """Data to repair with, the same for all candidates, and inputs to compare outputs on.

    Raises:
        InputError, EvidenceError: as ``evidence.calibration_batches``.
    """
    batches = calibration_batches(data, most_examples=_REPAIR + _HELD_OUT, device=device_of(wiring.model))
    if len(batches) < 2:
        return as_data(batches), batches
    wanted = min(_HELD_OUT, sum(examples_in(inputs) for inputs in batches) // 5)
    held_out = [batches.pop()]
    while len(batches) > 1 and sum(examples_in(inputs) for inputs in held_out) < wanted:
        held_out.insert(0, batches.pop())
    return as_data(batches), held_out


def digest_of(values: Any) -> str:
    """SHA-256 of the shapes, dtypes and bytes of all tensors, in order."""
    found = hashlib.sha256()
    for tensor in tensors_in(values):
        flat = tensor.detach().cpu().contiguous().flatten()
        found.update(f"{tuple(tensor.shape)} {tensor.dtype}\n".encode())
        found.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
    return found.hexdigest()
