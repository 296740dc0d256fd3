"""One tensor of several models, stretch by stretch: methods never see more than a chunk, so memory stays bounded.

A *method* is a function ``prepare(chunks) -> kernel``. ``prepare`` may run over the chunks as often as it needs (to
find a threshold, an angle, a norm); the kernel is then called once for each chunk, in order, with the chunk of every
model, and returns that chunk of the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..errors import InputError

CHUNK = 1 << 18  # elements: in float32 one megabyte, so that a handful of them stay in the cache

Kernel = Callable[[list[Tensor]], Tensor]


class Source(Protocol):
    """One model's tensor: read in stretches."""

    def read(self, first: int, last: int) -> Tensor:
        """Elements of the flattened tensor; valid until the next call."""


@dataclass(frozen=True)
class Chunks:
    """A tensor as every model has it.

    Attributes:
        sources: of each model; for methods with a base, the base first.
        shape: of the tensor, the same for all.
        dtype: in which differences from the base are judged, and of the result.
        step: elements a chunk; a multiple of the rows' length where rows are asked for.
        name: of the tensor, for messages and for the seed of what is drawn at random.
    """

    sources: Sequence[Source]
    shape: tuple[int, ...]
    dtype: torch.dtype
    name: str = ""
    step: int = CHUNK

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def work(self) -> torch.dtype:
        """In which is computed: float32, or float64 for tensors that are."""
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    @property
    def row(self) -> int:
        """Length of a row: the last dimension; the whole of a vector."""
        return max(self.shape[-1], 1) if self.shape else 1

    def __iter__(self) -> Iterator[list[Tensor]]:
        for first in range(0, self.numel, self.step):
            last = min(first + self.step, self.numel)
            yield [source.read(first, last) for source in self.sources]

    def by_rows(self) -> Chunks:
        """The same with chunks of whole rows."""
        return Chunks(self.sources, self.shape, self.dtype, self.name, max(self.step // self.row, 1) * self.row)


Method = Callable[[Chunks], tuple[Chunks, Kernel]]
"""Given a tensor's chunks: the chunks to run over (they may be cut otherwise), and what to do with each."""


@dataclass(frozen=True)
class InMemory:
    """A tensor as a source."""

    flat: Tensor

    def read(self, first: int, last: int) -> Tensor:
        return self.flat[first:last]


def merged(method: Method, tensors: Sequence[Tensor], *, dtype: torch.dtype | None = None, name: str = "") -> Tensor:
    """What a method makes of tensors in memory.

    Args:
        method: from one of the files beside this one.
        tensors: of one shape; for methods with a base, the base first.
        dtype: of the result; None: that of the first.

    Raises:
        InputError: no tensors, other shapes, or none of floating point.
    """
    if not tensors:
        raise InputError("there is nothing to merge: give at least one tensor")
    shapes = {tuple(t.shape) for t in tensors}
    if len(shapes) != 1:
        raise InputError(f"tensors of one shape can be merged, not {' and '.join(map(str, sorted(shapes)))}")
    if not all(t.is_floating_point() for t in tensors):
        raise InputError(f"tensors of floating point can be merged, not {', '.join(str(t.dtype) for t in tensors)}")
    dtype = dtype or tensors[0].dtype
    flat = [InMemory(t.detach().reshape(-1)) for t in tensors]
    chunks, kernel = method(Chunks(flat, tuple(tensors[0].shape), dtype, name))
    result = torch.empty(chunks.numel, dtype=dtype, device=tensors[0].device)
    for number, chunk in enumerate(chunks):
        piece = kernel(chunk)
        result[number * chunks.step :][: len(piece)].copy_(piece)
    return result.view(tensors[0].shape)


def check_weights(weights: Sequence[float], count: int) -> list[float]:
    """As many finite numbers as models.

    Raises:
        InputError: another number of them, or one that is not finite.
    """
    if len(weights) != count:
        raise InputError(f"there are {count} models to weigh, but {len(weights)} weights")
    if not all(math.isfinite(w) for w in weights):
        raise InputError(f"weights must be finite numbers, not {list(weights)}")
    return [float(w) for w in weights]
