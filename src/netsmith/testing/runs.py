"""Runs one torch function again and again on changed copies of its tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..wiring import spaces
from ..wiring.recorder import tensors_in
from ..wiring.spaces import Dim, Space


@dataclass(frozen=True)
class Subject:
    """One call of a function.

    Attributes:
        function, args, kwargs: as the caller gave them.
        writes: the function changes its first argument, which is then one more output.
    """

    function: Callable[..., Any]
    args: tuple
    kwargs: dict[str, Any]
    writes: bool

    def tensors(self) -> list[torch.Tensor]:
        """Every tensor that goes in, each once; those in slices too."""
        found: dict[int, torch.Tensor] = {}
        mapped((self.args, self.kwargs), lambda t: found.setdefault(id(t), t))
        return list(found.values())

    def run(self, replaced: Mapping[int, torch.Tensor]) -> tuple[Any, list[torch.Tensor]]:
        """(what the function returns, its outputs) with tensors of the call replaced, by id. None is changed."""
        copies = {id(t): replaced.get(id(t), t).detach().clone() for t in self.tensors()}
        args, kwargs = mapped((self.args, self.kwargs), lambda t: copies[id(t)])
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            out = self.function(*args, **kwargs)
        return out, [t.detach() for t in (*tensors_in(out), *([args[0]] if self.writes else []))]


def mapped(value: Any, tensor: Callable[[torch.Tensor], Any], integer: Callable[[int], int] | None = None) -> Any:
    """The same nested arguments with every tensor (and int) replaced; in slices too."""
    if isinstance(value, torch.Tensor):
        return tensor(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return integer(value) if integer is not None else value
    if isinstance(value, slice):
        return slice(*(mapped(v, tensor, integer) for v in (value.start, value.stop, value.step)))
    if isinstance(value, dict):
        return {k: mapped(v, tensor, integer) for k, v in value.items()}
    if isinstance(value, list):
        return [mapped(v, tensor, integer) for v in value]
    if isinstance(value, tuple):
        items = [mapped(v, tensor, integer) for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    return value


def positions(dim: Dim, leaf: Space, unit: int) -> list[int]:
    """Positions along a dimension that belong to one unit of a leaf; the leaf may occur in it several times."""
    return [p for p, units in enumerate(_units(dim, leaf)) if unit in units]


def _units(dim: Dim, leaf: Space) -> list[frozenset[int]]:
    found = [frozenset[int]()]
    for space in spaces.atoms(dim):
        if space is leaf:
            inner = [frozenset({unit}) for unit in range(space.size)]
        elif space.kind == "sum":
            inner = [units for part in space.parts for units in _units(part, leaf)]
        else:
            inner = [frozenset[int]()] * space.size
        found = [o | i for o in found for i in inner]
    return found


def moved(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Where two results differ by more than rounding; everywhere if their shapes differ."""
    if before.shape != after.shape:
        return torch.ones_like(before, dtype=torch.bool)
    if not (before.is_floating_point() or before.is_complex()):
        return before != after
    finite = before[before.isfinite()].abs()
    scale = max(1.0, float(finite.max())) if finite.numel() else 1.0
    same = (before == after) | (before.isnan() & after.isnan())
    return ~same & ~((before - after).abs() <= torch.finfo(before.dtype).eps ** 0.5 * scale)


def only_at(shape: Sequence[int], dims: Sequence[Dim], leaf: Space, unit: int) -> torch.Tensor:
    """A mask of a tensor: where it belongs to one unit of a leaf."""
    mask = torch.zeros(tuple(shape), dtype=torch.bool)
    for i, dim in enumerate(dims):
        mask.movedim(i, 0)[positions(dim, leaf, unit)] = True
    return mask
