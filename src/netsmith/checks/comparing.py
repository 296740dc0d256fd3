"""Runs two models on the same inputs, in float64 where they can, and says how far apart their outputs are."""

from __future__ import annotations

import contextlib
import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from ..wiring import call_model, tensor_slots
from ..wiring.inputs import map_tensors
from ..wiring.recorder import tensors_in

# of the largest output. Models run in float64 where they can; some round to float32 inside, whence 1e-5.
TOLERANCE = {torch.float64: 1e-5, torch.float32: 2e-3}


def enlivened(model: nn.Module) -> nn.Module:
    """A copy in which no floating tensor of more than one element is constant."""
    lively = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(0)
    seen: set[int] = set()
    with torch.no_grad():
        for slot in tensor_slots(lively):
            tensor = slot.tensor
            if id(tensor) in seen or not tensor.is_floating_point() or tensor.numel() < 2:
                continue
            seen.add(id(tensor))
            statistic = isinstance(tensor, nn.Parameter) or slot.name.endswith("running_mean")
            if not statistic and not bool(tensor.any()):
                continue  # a buffer of zeros stands for a bias that is not there
            if bool((tensor == tensor.flatten()[0]).all()):
                noise = torch.rand(tensor.shape, generator=generator).to(tensor) - 0.5
                tensor.copy_(tensor * (1 + noise) if float(tensor.flatten()[0]) else noise * 0.2)
    return lively


class Unrunnable(Exception):
    """A forward raises in every precision."""


def compare(
    reference: nn.Module,
    candidate: nn.Module,
    example_inputs: Any,
    around: Any = contextlib.nullcontext,
    around_reference: Any = None,
    dtypes: tuple[torch.dtype, ...] = (torch.float64, torch.float32),
) -> tuple[float, torch.dtype]:
    """(largest difference relative to the largest output, dtype in which it was computed). Converts both models.

    ``around`` makes the context in which they run, ``around_reference`` another one for the reference.
    """
    last: Exception | None = None
    for dtype in dtypes:
        try:
            inputs = map_tensors(example_inputs, lambda t: t.to(dtype) if t.is_floating_point() else t)  # noqa: B023
            convert(reference, dtype), convert(candidate, dtype)
            with (around_reference or around)(), _quiet():
                left = call_model(reference, inputs)
            with around(), _quiet():
                right = call_model(candidate, inputs)
        except Exception as error:
            last = error  # something in this forward may insist on its own precision
            continue
        return _difference(_floats(left), _floats(right)), dtype
    raise Unrunnable(f"forward raises {type(last).__name__}: {str(last)[:300]}") from last


def convert(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Bring a model of our own to another precision, in place, tensor by tensor; plain tensor attributes included."""
    shared: dict[int, Any] = {}
    counts = Counter(id(slot.tensor) for slot in tensor_slots(model))
    for slot in tensor_slots(model):
        tensor = slot.tensor
        if not tensor.is_floating_point() or tensor.dtype == dtype:
            continue
        cast: Any = shared.get(id(tensor))
        if cast is None:
            cast = tensor.detach().to(dtype)
            cast = nn.Parameter(cast, False) if isinstance(tensor, nn.Parameter) else cast
            if counts[id(tensor)] > 1:
                shared[id(tensor)] = cast
        slot.holder[slot.key] = cast
    for module in model.modules():
        if "_flat_weights_names" in module.__dict__:
            module.__dict__["_flat_weights"] = [getattr(module, n) for n in module.__dict__["_flat_weights_names"]]
    return model.eval()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No gradients, the slow path of attention (the fast one hides its scale), random numbers as they were."""
    fast = torch.backends.mha.get_fastpath_enabled()
    state = torch.random.get_rng_state()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        torch.random.set_rng_state(state)


def _floats(out: Any) -> list[torch.Tensor]:
    return [t.detach().double() for t in tensors_in(out) if t.is_floating_point()]


def _difference(left: list[torch.Tensor], right: list[torch.Tensor]) -> float:
    worst = 0.0 if len(left) == len(right) else float("inf")
    for a, b in zip(left, right, strict=False):
        if a.shape != b.shape:
            continue  # hidden states that the model also returns have the new width
        if a.numel():
            scale = max(float(a.abs().max()), 1e-12)
            gap = float((a - b).abs().max())
            worst = max(worst, gap / scale if gap == gap else float("inf"))
    return worst
