"""Calibration data: any iterable of batches, labels or not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import torch
from torch import nn

from ..errors import EvidenceError, InputError
from ..wiring.inputs import map_tensors
from ..wiring.recorder import tensors_in


def inputs_of(batch: Any) -> Any:
    """The model's inputs of a batch that is ``x`` or ``(x, y)``."""
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return batch[0]
    if isinstance(batch, (tuple, list)) and len(batch) == 1:
        return batch[0]
    return batch


def examples_in(inputs: Any) -> int:
    """Examples in one batch: the first dimension of its first tensor."""
    tensors = tensors_in(inputs)
    return int(tensors[0].shape[0]) if tensors and tensors[0].dim() else 1


def calibration_batches(data: Iterable[Any], *, most_examples: int, device: torch.device | None = None) -> list[Any]:
    """Inputs of the first batches, up to a number of examples, on the model's device.

    Raises:
        InputError: data is no iterable, or a batch holds no tensor.
        EvidenceError: no batch at all, or values that are not finite.
    """
    return [inputs for inputs, _ in labelled_batches(data, most_examples=most_examples, device=device)]


def as_data(batches: Iterable[Any]) -> list[tuple[Any, None]]:
    """What ``calibration_batches`` gave, as data again: inputs of two tensors are not to be taken for (x, y)."""
    return [(inputs, None) for inputs in batches]


def labelled_batches(
    data: Iterable[Any], *, most_examples: int | None = None, device: torch.device | None = None
) -> Iterator[tuple[Any, Any]]:
    """(inputs, labels) of one batch after the other, up to a number of examples; labels are None where there are none.

    Raises:
        InputError, EvidenceError: as ``calibration_batches``, when the batch is asked for.
    """
    if not isinstance(data, Iterable) or isinstance(data, (torch.Tensor, Mapping, str)):
        raise InputError(
            f"data is a {type(data).__name__}; give an iterable of batches, each x or (x, y), e.g. a DataLoader or [x]"
        )
    if most_examples is not None and (not isinstance(most_examples, int) or most_examples < 1):
        raise InputError(f"most_examples={most_examples!r} must be an int ≥ 1")
    seen = 0
    for number, batch in enumerate(islice(data, 100_000)):
        inputs = inputs_of(batch)
        tensors = tensors_in(inputs)
        if not tensors:
            raise InputError(f"batch {number} of data holds no tensor; each batch is x or (x, y)")
        for tensor in tensors:
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise EvidenceError(f"batch {number} of data holds NaN or infinity; clean the data")
        count = examples_in(inputs)
        room = count if most_examples is None else most_examples - seen
        if not count:
            continue

        def part(tensor: torch.Tensor) -> torch.Tensor:
            whole = tensor.dim() == 0 or tensor.shape[0] != count or count <= room  # noqa: B023
            return (tensor if whole else tensor[:room]).to(device)  # noqa: B023

        labels = batch[1] if isinstance(batch, (tuple, list)) and len(batch) == 2 else None
        yield map_tensors(inputs, part), map_tensors(labels, part)
        seen += count
        if most_examples is not None and seen >= most_examples:
            return
    if not seen:
        raise EvidenceError(
            "data is empty: it gave no batch. Give at least one batch of inputs (labels are not needed)."
        )


def device_of(model: nn.Module) -> torch.device | None:
    parameter = next(model.parameters(), None)
    return parameter.device if parameter is not None else None
