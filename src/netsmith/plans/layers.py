"""Finds modules that compute one affine map, on the recorded calls and not by their classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from ..wiring import Wiring
from ..wiring.copying import copied
from ..wiring.depth import shell
from ..wiring.layouts import layout_size
from ..wiring.recorder import Origin, writes
from ..wiring.slots import tensor_slots
from .affine import NotAffine
from .affine_reading import Reading, read_affine

_MOST_BEHIND = 3  # modules that may follow inside a layer: a gate, a dropout, an activation


@dataclass(frozen=True)
class Layer:
    """A module whose calls ``first`` to ``last`` make one map of one input.

    Attributes:
        path: of the module.
        first, last: calls.
        entry: what it reads.
        shape: of that, as traced.
        then: modules inside it that run behind the map, in order.
        reading: the map; without values where the wiring needs none.
    """

    path: str
    first: int
    last: int
    entry: Origin
    shape: tuple[int, ...]
    then: tuple[str, ...]
    reading: Reading


class Layers:
    """The layers of a wiring."""

    def __init__(self, wiring: Wiring):
        self.wiring = wiring
        self.twin = _twin(wiring)  # its modules run, and may keep what they like
        self.modules = dict(self.twin.named_modules())
        self.ranges: dict[str, list[int]] = {}  # path -> calls inside, ascending
        for index, call in enumerate(wiring.calls):
            pieces = call.module.split(".") if call.module else []
            for n in range(1, len(pieces) + 1):
                self.ranges.setdefault(".".join(pieces[:n]), []).append(index)

    def found(self) -> list[Layer]:
        """Modules that compute one affine map, in call order, none inside another."""
        direct = {call.module for call in self.wiring.calls if call.module}
        found: list[Layer] = []
        for path in sorted(direct, key=lambda p: (p.count("."), self.ranges[p][0])):  # outer ones first
            if any(path.startswith(f"{layer.path}.") for layer in found):
                continue
            layer = self._layer(path)
            if layer is not None:
                found.append(layer)
        return sorted(found, key=lambda layer: layer.first)

    def _layer(self, path: str) -> Layer | None:
        calls = self.wiring.calls
        inside = self.ranges[path]
        first, last = inside[0], inside[-1]
        if len(inside) != last - first + 1:
            return None
        entry = self._entry(first, last)
        if entry is None:
            return None
        at, origin = next((i, o) for i in inside for o in enumerate(calls[i].origins) if o[1] == entry)
        shape = tuple(layout_size(layout, self.wiring.sizes) for layout in calls[at].inputs[origin[0]])
        for then in self._tails(path, inside):
            stop = self.ranges[then[0]][0] if then else last + 1
            try:
                reading = read_affine([self.modules[path]], shape, self.modules[then[0]] if then else None)
            except NotAffine:
                continue
            names = tuple(call.name for call in calls[first:stop])
            if reading.names != names or not self._read_once(first, stop - 1, last, then):
                continue
            start = first
            if reading.map.open:  # what pads stays where it is
                start = next(i for i in inside if calls[i].name.startswith("conv"))
                entry = calls[start].origins[0]
            return Layer(path, start, stop - 1, entry, shape, then, reading)
        return None

    def _entry(self, first: int, last: int) -> Origin | None:
        """The one tensor that these calls read from outside; None where it is not one."""
        outside = {
            origin
            for call in self.wiring.calls[first : last + 1]
            for origin in call.origins
            if origin.kind == "input" or (origin.kind == "call" and not first <= origin.call <= last)
        }
        return outside.pop() if len(outside) == 1 else None

    def _tails(self, path: str, inside: Sequence[int]) -> list[tuple[str, ...]]:
        """What may follow inside the module: nothing, its last child, its last two, ..."""
        tails: list[tuple[str, ...]] = [()]
        left = list(inside)
        while left and len(tails) <= _MOST_BEHIND:
            rest = self.wiring.calls[left[-1]].module.removeprefix(path).lstrip(".")
            child = f"{path}.{rest.partition('.')[0]}"
            own = self.ranges.get(child, [])
            if not rest or own != left[-len(own) :] or child not in self.modules or len(own) == len(left):
                break
            tails.append((child, *tails[-1]))
            left = left[: -len(own)]
        return tails

    def _read_once(self, first: int, result: int, last: int, then: tuple[str, ...]) -> bool:
        """Whether of calls first..last only the last ones of the map and of each module behind it are read outside."""
        bounds = [*(self.ranges[path][0] for path in then), last + 1]
        parts = [(first, result), *((a, b - 1) for a, b in zip(bounds, bounds[1:], strict=False))]
        for n, (start, end) in enumerate(parts):
            if n and self._entry(start, end) != Origin("call", call=start - 1):
                return False
            behind = {*range(*(parts[n + 1][0], parts[n + 1][1] + 1))} if n + 1 < len(parts) else None
            for index in range(start, end + 1):
                read = [r for r in self.readers(index) if not start <= r <= end]
                if index != end and read:
                    return False
                if index == end and behind is not None and not set(read) <= behind:
                    return False
        return True

    def readers(self, call: int) -> list[int]:
        """Calls that read this one's result, -1 if it is given out; not those that come to nothing, as eval dropout."""
        calls, readers = self.wiring.calls, self.wiring.readers
        return [r for r in readers.get(call, []) if r < 0 or r in readers or writes(calls[r].name)]


def _twin(wiring: Wiring) -> nn.Module:
    """A copy of the model without values, unless forward looks at them; values decide nothing here."""
    if not wiring.fake:
        return shell(wiring.model)
    bare: dict[int, Any] = {}
    for slot in tensor_slots(wiring.model):
        held = slot.tensor.detach().to("meta")
        trained = slot.tensor.requires_grad
        bare[id(slot.tensor)] = nn.Parameter(held, trained) if isinstance(slot.tensor, nn.Parameter) else held
    return copied(wiring.model, bare)
