"""Example inputs: a tensor, a tuple of positional arguments, or a dict of keyword arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from ..errors import InputError
from .recorder import tensors_in


def as_arguments(example_inputs: Any) -> tuple[tuple, dict[str, Any]]:
    """(positional, keyword) arguments of one call of the model.

    Raises:
        InputError: the example inputs are none of the three forms, or hold no tensor, or only empty ones.
    """
    args: tuple = ()
    kwargs: dict[str, Any] = {}
    if isinstance(example_inputs, torch.Tensor):
        args = (example_inputs,)
    elif isinstance(example_inputs, tuple):
        args = example_inputs
    elif isinstance(example_inputs, Mapping):
        kwargs = dict(example_inputs)
    else:
        raise InputError(
            f"example_inputs is a {type(example_inputs).__name__}; give a tensor, a tuple of positional arguments or a "
            "dict of keyword arguments, e.g. torch.randn(1, 3, 224, 224)"
        )
    tensors = tensors_in((args, kwargs))
    if not tensors:
        raise InputError("example_inputs hold no tensor; give what one call of the model takes")
    if not any(tensor.numel() for tensor in tensors):
        raise InputError(f"example_inputs are empty ({describe(example_inputs)}); give at least one example")
    return args, kwargs


def call_model(model: nn.Module, example_inputs: Any) -> Any:
    args, kwargs = as_arguments(example_inputs)
    return model(*args, **kwargs)


def map_tensors(value: Any, change: Callable[[torch.Tensor], Any]) -> Any:
    """The same nested lists, tuples and dicts with every tensor replaced."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {k: map_tensors(v, change) for k, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(map_tensors(v, change) for v in value))
    if isinstance(value, (list, tuple)):
        return type(value)(map_tensors(v, change) for v in value)
    return value


def describe(example_inputs: Any) -> str:
    """Shapes and dtypes, for messages."""
    return ", ".join(f"{tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}" for t in tensors_in(example_inputs))
