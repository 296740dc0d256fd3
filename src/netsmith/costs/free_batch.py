"""One call of a model as a ``torch.export`` program that takes any batch size."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import torch
from torch import nn

from ..data.running import eval_mode
from ..errors import CaptureError, InputError
from ..wiring.inputs import as_arguments, map_tensors
from ..wiring.recorder import tensors_in
from ..wiring.slots import tensor_slots
from ..wiring.wrapped import dequantized, is_wrapped

_LARGEST_BATCH = 2**16


def exported(model: nn.Module, example_inputs: Any, *, free_batch: bool = True) -> torch.export.ExportedProgram:
    """The model's forward in eval mode as a program of aten functions.

    Args:
        model: not changed. Weights that are stored as integers become the floats that they stand for.
        example_inputs: one call's inputs.
        free_batch: dimension 0 of every input tensor that shares the first one's batch size may have any size; False:
            the program takes the example's sizes alone.

    Raises:
        CaptureError: ``torch.export`` cannot follow forward, or forward insists on one batch size.
        InputError: the example inputs are of no known form.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model is a {type(model).__name__}; give a torch.nn.Module")
    inputs = with_two(example_inputs) if free_batch else example_inputs
    args, kwargs = as_arguments(inputs)
    shapes = free_dimensions(inputs, model) if free_batch else None
    floats = with_floats(model)
    try:
        with eval_mode(floats), torch.no_grad():
            return torch.export.export(floats, args, kwargs, dynamic_shapes=shapes)
    except Exception as error:
        raise CaptureError(not_exported(model, error, free_batch)) from error


def not_exported(model: nn.Module, error: Exception, free_batch: bool) -> str:
    """What to say where ``torch.export`` gave up."""
    first = next((line for line in str(error).splitlines() if line.strip()), "").strip()
    way_out = (
        "If forward only works for one batch size, export with free_batch=False (--fixed-batch); else rewrite what the "
        "message names."
        if free_batch
        else "Rewrite what the message names: a forward must not choose its path by values of tensors."
    )
    return f"torch.export cannot follow {type(model).__name__}: {type(error).__name__}: {first[:300]}\n{way_out}"


def with_floats(model: nn.Module) -> nn.Module:
    """The model itself, or where it stores weights as integers, a copy with the floats that they stand for."""
    if not any(is_wrapped(slot.tensor) for slot in tensor_slots(model)):
        return model
    floats = copy.deepcopy(model)
    for slot in tensor_slots(floats):
        if is_wrapped(slot.tensor):
            slot.holder[slot.key] = nn.Parameter(dequantized(slot.tensor), False)
    return floats


def batch_size(example_inputs: Any) -> int:
    """Dimension 0 of the first input tensor that has dimensions."""
    return next((int(t.shape[0]) for t in tensors_in(as_arguments(example_inputs)) if t.dim()), 1)


def with_two(example_inputs: Any) -> Any:
    """The same inputs with two examples, where there was one: torch.export takes a size of 1 for a constant."""
    if batch_size(example_inputs) != 1:
        return example_inputs
    return with_batch(example_inputs, 2)


def with_batch(example_inputs: Any, size: int) -> Any:
    """The same inputs with so many examples, repeated from the first."""
    n = batch_size(example_inputs)

    def repeated(tensor: torch.Tensor) -> torch.Tensor:
        if not _has_batch(tensor, n):
            return tensor
        return tensor[torch.arange(size, device=tensor.device) % n]

    return map_tensors(example_inputs, repeated)


def free_dimensions(example_inputs: Any, model: nn.Module) -> Any:
    """``dynamic_shapes`` of ``torch.export``: the batch dimension of every tensor that has it.

    They go by the arguments of the model's forward; where it takes any (``*args``, as ensembles do), by its own names.
    """
    n = batch_size(example_inputs)
    batch = torch.export.Dim("batch", min=1, max=_LARGEST_BATCH)
    args, kwargs = as_arguments(example_inputs)

    def free(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return {0: batch} if _has_batch(value, n) else {}
        if isinstance(value, (tuple, list)):
            return type(value)(free(item) for item in value)
        if isinstance(value, dict):
            return {key: free(item) for key, item in value.items()}
        return None

    signature = inspect.signature(model.forward)
    if any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values()):
        return dict(signature.bind(*free(args), **free(kwargs)).arguments)
    return free(kwargs) if kwargs else free(args)


def _has_batch(tensor: torch.Tensor, size: int) -> bool:
    return tensor.dim() > 0 and int(tensor.shape[0]) == size
