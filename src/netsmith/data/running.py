"""What a batch is, and how a model is run on one. Training, evaluation and calibration share these conventions.

A batch is ``x`` or ``(x, y)``. ``x`` is a tensor, a tuple of positional arguments or a dict of keyword arguments; a
tuple or list of two is always ``(x, y)``, so positional arguments without labels are written ``((a, b), None)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError


def split_batch(batch: Any) -> tuple[Any, Any]:
    """``(x, y)`` of a batch; y is None where there are no labels.

    Raises:
        InputError: the batch is none of the forms above.
    """
    if isinstance(batch, Tensor | Mapping):
        return batch, None
    if isinstance(batch, tuple | list) and len(batch) in (1, 2):
        x, y = batch if len(batch) == 2 else (batch[0], None)
        if isinstance(x, Tensor | tuple | list | Mapping):
            return tuple(x) if isinstance(x, list) else x, y
    raise InputError(
        f"a batch must be x or (x, y), with x a tensor, a tuple of positional arguments or a dict of keyword "
        f"arguments, not {describe(batch)}; several arguments without labels are written ((a, b), None)"
    )


def each_batch(data: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """``(x, y)`` of every batch of data.

    Raises:
        InputError: data is not iterable, holds no batch, or a batch is none of the known forms.
    """
    if isinstance(data, Tensor | Mapping | str) or not isinstance(data, Iterable):
        raise InputError(f"data must be an iterable of batches, e.g. a DataLoader or a list, not {describe(data)}")
    empty = True
    for batch in data:
        empty = False
        yield split_batch(batch)
    if empty:
        raise InputError(
            "the data is empty: it yields no batch. A one-shot iterator may already be used up; pass a list"
        )


def to_device(x: Any, device: torch.device) -> Any:
    """The same tensor, tuple, list or dict with every tensor on ``device``; other values as they are."""
    if isinstance(x, Tensor):
        return x.to(device)
    if isinstance(x, tuple | list):
        return tuple(to_device(item, device) for item in x)
    if isinstance(x, Mapping):
        return {key: to_device(value, device) for key, value in x.items()}
    return x


def device_of(model: nn.Module) -> torch.device:
    """Where the model's first parameter or buffer lies; the CPU where it has none."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")


def call(model: nn.Module, x: Any) -> Any:
    """``model(x)``, ``model(*x)`` or ``model(**x)``, with x moved to the model's device.

    Raises:
        InputError: forward raises; the message names the shapes it was given.
    """
    x = to_device(x, device_of(model))
    try:
        if isinstance(x, tuple):
            return model(*x)
        return model(**x) if isinstance(x, Mapping) else model(x)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise InputError(
            f"{type(model).__name__} cannot be run on {describe(x)}: {type(error).__name__}: {error}"
        ) from error


def logits(output: Any) -> Tensor:
    """The tensor of class scores: the output itself, or its ``logits`` (transformers).

    Raises:
        InputError: the output is neither.
    """
    found = output if isinstance(output, Tensor) else getattr(output, "logits", None)
    if not isinstance(found, Tensor):
        raise InputError(
            f"the model must return a tensor of class scores, or an object that has one as .logits, not "
            f"{describe(output)}; wrap it in a module that returns the scores"
        )
    return found


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[nn.Module]:
    """The model in eval mode; afterwards, also after an error, every module is back in the mode it had."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield model.eval()
    finally:
        for module, training in modes:
            module.training = training


def describe(x: Any) -> str:
    """Shapes in words: ``tensor (8, 3, 32, 32)``, ``tuple of (tensor (8, 5), int)``."""
    if isinstance(x, Tensor):
        return f"tensor {tuple(x.shape)}"
    if isinstance(x, tuple | list):
        shown = ", ".join(describe(item) for item in x[:4]) + (", ..." if len(x) > 4 else "")
        return f"{type(x).__name__} of ({shown})"
    if isinstance(x, Mapping):
        return "dict of (" + ", ".join(f"{key}: {describe(value)}" for key, value in list(x.items())[:6]) + ")"
    return type(x).__name__
