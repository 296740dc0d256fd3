"""Models of our own in which every tensor matters: what is tried on them shows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ..wiring.inputs import map_tensors
from ..wiring.slots import tensor_slots


def uneven_values(model: nn.Module, dtype: torch.dtype, seed: int = 0) -> dict[str, torch.Tensor]:
    """A value for every tensor of a model, by name: its own, unless that could hide a mistake.

    Tensors of one value (fresh biases, unit scales) become uneven, tensors on ``meta`` random. Buffers of zeros stay:
    they stand for something that is not there. Tied tensors are one tensor.

    Args:
        model: not changed.
        dtype: of floating tensors.
        seed: of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    made: dict[int, torch.Tensor] = {}
    named = {}
    for slot in tensor_slots(model):
        if id(slot.tensor) not in made:
            made[id(slot.tensor)] = _uneven(slot.tensor, slot.name, dtype, generator)
        named[slot.name] = made[id(slot.tensor)]
    return named


def real_inputs(example_inputs: Any, dtype: torch.dtype) -> Any:
    """The example inputs in this precision; for those on ``meta`` random numbers, and whole numbers 0 and 1."""
    generator = torch.Generator().manual_seed(0)

    def real(tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.is_meta:
            return tensor.to(dtype) if tensor.is_floating_point() else tensor
        if tensor.is_floating_point():
            return torch.randn(tensor.shape, generator=generator, dtype=dtype)
        return (torch.arange(tensor.numel()) % 2).reshape(tensor.shape).to(tensor.dtype)

    return map_tensors(example_inputs, real)


def _uneven(tensor: torch.Tensor, name: str, dtype: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    own = tensor.detach()
    if own.is_meta:
        if not own.is_floating_point():
            return torch.zeros(own.shape, dtype=own.dtype)
        noise = torch.randn(own.shape, generator=generator, dtype=dtype)
        return noise / math.sqrt(own[0].numel()) if own.dim() > 1 else 1 + 0.2 * noise.clamp(-3, 3)
    if not own.is_floating_point():
        return own.clone()
    values = own.to(dtype, copy=True)
    absent = not isinstance(tensor, nn.Parameter) and not name.endswith("running_mean") and not bool(own.any())
    if own.numel() > 1 and not absent and bool((own == own.flatten()[0]).all()):
        noise = (torch.rand(own.shape, generator=generator) - 0.5).to(values)
        values = values * (1 + noise) if float(own.flatten()[0]) else 0.2 * noise
    return values


def put_values(model: nn.Module, values: Mapping[str, torch.Tensor]) -> nn.Module:
    """Give a model of our own these tensors, by name, in place; names that are not there keep theirs."""
    counts = Counter(id(slot.tensor) for slot in tensor_slots(model))
    shared: dict[int, torch.Tensor] = {}
    for slot in list(tensor_slots(model)):
        if slot.name not in values:
            continue
        new = shared.get(id(slot.tensor))
        if new is None:
            new = values[slot.name]
            new = nn.Parameter(new, False) if isinstance(slot.tensor, nn.Parameter) else new
            if counts[id(slot.tensor)] > 1:
                shared[id(slot.tensor)] = new
        slot.holder[slot.key] = new
    for module in model.modules():
        if "_flat_weights_names" in module.__dict__:  # recurrent layers list their own parameters a second time
            module.__dict__["_flat_weights"] = [getattr(module, n) for n in module.__dict__["_flat_weights_names"]]
    return model.eval()
