"""A stretch of one batch's forward, recorded so that it can be run again with other weights.

The model's own Python code runs once; what it called between two points is kept as a list. Running the list again costs
nothing but the calls themselves, and can be differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ..errors import EvidenceError
from ..wiring import Wiring, tensor_slots
from ..wiring.recorder import counts, function_name, tensors_in
from .masks import counted_part
from .products import computed
from .resuming import Checkpoint, run_to
from .stepping import Stop


@dataclass(frozen=True)
class _Made:
    """Stands in the arguments for a tensor that an earlier call of the tape returns."""

    number: int


@dataclass(frozen=True)
class _Given:
    """Stands for a tensor from before the tape that a call on it overwrites: each run needs a fresh copy."""

    number: int


@dataclass(frozen=True)
class _Taped:
    """One call. ``index`` counts as in ``Wiring.calls``; ``makes`` numbers the tensors that it returns."""

    index: int
    name: str
    func: Callable[..., Any]
    args: tuple
    kwargs: dict[str, Any]
    makes: tuple[int, ...]


@dataclass(frozen=True)
class Tape:
    """Calls of one batch's forward, from a checkpoint to the call whose result is wanted.

    Attributes:
        calls: in order.
        given: tensors from before that are overwritten, by number.
        end: number of the wanted result.
        counted: (examples, positions) booleans; where the result is (examples, positions, features), only the
            positions that count are given, as (rows, features). None: the whole result.
    """

    calls: tuple[_Taped, ...]
    given: Mapping[int, torch.Tensor]
    end: int
    counted: torch.Tensor | None = None

    def run(self, look: Callable[[Stop, Any], Any] | None = None, at: frozenset[int] = frozenset()) -> torch.Tensor:
        """The wanted result with the weights as they are now.

        Args:
            look: called with (call, its result) for the calls in ``at``; what it returns is used as the result.
            at: indices of calls.
        """
        made: dict[int, torch.Tensor] = {}
        fresh = {number: tensor.clone() for number, tensor in self.given.items()}

        def filled(value: Any) -> Any:
            if isinstance(value, _Made):
                return made[value.number]
            if isinstance(value, _Given):
                return fresh[value.number]
            return value

        for call in self.calls:
            args = tuple(_mapped(a, filled) for a in call.args)
            kwargs = {k: _mapped(v, filled) for k, v in call.kwargs.items()}
            with torch._C.DisableTorchFunction():
                out = computed(call.func, args, kwargs)
            if look is not None and call.index in at:
                out = look(Stop(call.index, call.name, call.func, args, kwargs), out)
            made.update(zip(call.makes, tensors_in(out), strict=True))
        return counted_part(made[self.end], self.counted)


def tape(wiring: Wiring, model: nn.Module, start: Checkpoint, end: int) -> Tape:
    """Record the forward of a model like the wired one from a checkpoint to the call ``end``, which returns one tensor.

    Raises:
        EvidenceError: forward raises on this batch, or goes another way than with the example inputs.
    """
    mode = _Taping(start.call, end, {id(slot.tensor) for slot in tensor_slots(model)})
    run_to(wiring, model, start, end + 1, mode)
    if mode.end < 0:
        raise EvidenceError(f"call {end} ({wiring.calls[end].name}) returned no tensor of its own")
    overwritten = {n for n, (tensor, version, _) in enumerate(mode.outside) if tensor._version != version}
    places = {id(tensor): _Given(n) for n, (tensor, _, _) in enumerate(mode.outside) if n in overwritten}

    def placed(value: Any) -> Any:
        return places.get(id(value), value) if isinstance(value, torch.Tensor) else value

    calls = tuple(
        _Taped(
            c.index,
            c.name,
            c.func,
            tuple(_mapped(a, placed) for a in c.args),
            {k: _mapped(v, placed) for k, v in c.kwargs.items()},
            c.makes,
        )
        for c in mode.calls
    )
    return Tape(calls, {n: mode.outside[n][2] for n in overwritten}, mode.end)


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    if type(value) in (list, tuple):
        return type(value)(_mapped(v, change) for v in value)
    if isinstance(value, dict):
        return {k: _mapped(v, change) for k, v in value.items()}
    return change(value)


class _Taping(TorchFunctionMode):
    """Keeps the calls from ``start`` to ``end``; counts as the recorder does."""

    def __init__(self, start: int, end: int, weights: set[int]):
        super().__init__()
        self._start, self._last, self._count, self._weights = start, end, 0, weights
        self.calls: list[_Taped] = []
        self.outside: list[tuple[torch.Tensor, int, torch.Tensor]] = []  # tensor, its version then, a copy
        self.end = -1
        self._known: dict[int, int] = {}  # id of a tensor that a kept call returned -> its number
        self._alive: list[Any] = []  # so that no id is given twice

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        name, keeps = function_name(func), self._start <= self._count <= self._last
        if keeps:  # before the call: it may overwrite its arguments
            taped_args = tuple(_mapped(a, self._place) for a in args)
            taped_kwargs = {k: _mapped(v, self._place) for k, v in kwargs.items()}
        out = func(*args, **kwargs)
        outs = tensors_in(out)
        if keeps and (outs or name == "__setitem__"):
            index = self._count if counts(name, outs) else -1
            makes = tuple(range(len(self._alive), len(self._alive) + len(outs)))
            for number, tensor in zip(makes, outs, strict=True):
                self._known[id(tensor)] = number
                self._alive.append(tensor)
            if index == self._last and makes:
                self.end = makes[0]
            self.calls.append(_Taped(index, name, func, taped_args, taped_kwargs, makes))
        self._count += counts(name, outs)
        return out

    def _place(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        number = self._known.get(id(value))
        if number is not None:
            return _Made(number)
        if id(value) not in self._weights and value.is_floating_point():
            self._weights.add(id(value))
            with torch._C.DisableTorchFunction():
                self.outside.append((value, value._version, value.detach().clone()))
        return value
