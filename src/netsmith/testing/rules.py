"""The contract of a rule: nature decides whether units are where the rule says.

Every number below is found by running the real function: nudge one unit of an input, see which results move.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ..wiring import spaces
from ..wiring.provenance import Attribute, SourcedInt
from ..wiring.recorder import Call, Dims, Origin, Recorder, Rule, function_name, tensors_in, writes
from ..wiring.spaces import Space
from .runs import Subject, mapped, moved, only_at, positions


def check_rule(rule: Rule, function: Callable[..., Any], *args: Any, **kwargs: Any) -> int:
    """Hold a rule to its contract on one call of its function.

    The function runs on the tensors given, the rule reads that call. Then, for each unit of each axis that the rule
    leaves free:

    * an axis that an output holds: nudging the unit in an input moves the outputs at that unit, and nowhere else;
    * an axis that no output holds: the unit is not read at all, or where it is zero in one input nothing of it is seen
      in the others (a sum over the axis);
    * or, where neither is so (a recurrent layer feeds its units back): with the unit at zero in all inputs, taking it
      out of all inputs takes it out of the outputs and changes nothing else. This is what a removal promises.

    What the rule freezes or marks as a statistic, and units that it keeps in their place, are exempt. Ints among the
    arguments stand for attributes of a model, so they freeze nothing.

    Args:
        rule: a function of one ``Call``; see CONTRIBUTING.
        function: what the rule is for, as forward calls it: ``torch.roll``, ``torch.Tensor.add_``, ...
        args, kwargs: of one call. Small tensors of random floats in sizes that differ from each other show most.

    Returns:
        How many axes were proved; 0 says that the rule froze everything.

    Raises:
        AssertionError: the rule raises, gives other sizes than the function, or ties units that do not belong
            together; the message names the tensor, the dimension and the unit.

    Example:
        >>> from netsmith.wiring.rules import DEFAULT_RULES
        >>> check_rule(DEFAULT_RULES["transpose"], torch.transpose, torch.randn(4, 6), 0, 1)
        2
    """
    reading = _read(rule, function, args, kwargs)
    for leaf in reading.free:
        for unit in range(leaf.size):
            if unit not in reading.pinned.get(leaf, ()):
                fault = reading.fault(leaf, unit)
                if fault:
                    raise AssertionError(f"{reading.name}: {fault}")
    return len(reading.free)


@dataclass
class _Reading:
    """One call as a rule reads it."""

    name: str
    subject: Subject
    tensors: list[torch.Tensor]
    dims: list[Dims]
    results: list[torch.Tensor]
    result_dims: list[Dims]
    free: list[Space]
    pinned: dict[Space, set[int]]

    def fault(self, leaf: Space, unit: int) -> str | None:
        """What does not hold of one unit, or None."""
        held = any(leaf in spaces.leaves(dim) for dims in self.result_dims for dim in dims)
        wrong = self._nudged(leaf, unit) if held else self._unseen(leaf, unit)
        return wrong and self._removed(leaf, unit) and wrong

    def _holders(self, leaf: Space) -> list[tuple[int, int]]:
        """(tensor, dimension) of every input dimension that holds the leaf and can be nudged."""
        return [
            (i, d)
            for i, dims in enumerate(self.dims)
            for d, dim in enumerate(dims)
            if leaf in spaces.leaves(dim) and (self.tensors[i].is_floating_point() or self.tensors[i].is_complex())
        ]

    def _nudged(self, leaf: Space, unit: int) -> str | None:
        for i, d in self._holders(leaf):
            _, after = self.subject.run({id(self.tensors[i]): self._with_nudge(i, d, leaf, unit)})
            for o, (was, now, dims) in enumerate(zip(self.results, after, self.result_dims, strict=True)):
                outside = moved(was, now) & ~only_at(was.shape, dims, leaf, unit)
                if bool(outside.any()):
                    return (
                        f"the rule does not hold at unit {unit} of {self._place(i, d, leaf)}. Nudging it moved "
                        f"output {o} at {_where(outside)}, which the rule does not give to that unit; it gives it "
                        f"{self._given(o, leaf, unit)}"
                    )
        return None

    def _unseen(self, leaf: Space, unit: int) -> str | None:
        """No output holds the leaf: each input's unit is not read, or is not seen once it is zero in another."""
        holders = self._holders(leaf)
        for i, d in holders:
            nudge = {id(self.tensors[i]): self._with_nudge(i, d, leaf, unit)}
            if not self._differs({}, nudge):
                continue
            others = [o for o in holders if o != (i, d)]
            for j, e in others:
                zero = {id(self.tensors[j]): self._without(j, leaf, unit)}
                both = zero | nudge
                if self._differs(zero, both):
                    return (
                        f"no output of the rule holds unit {unit} of {self._place(i, d, leaf)}, so it must vanish in a "
                        f"sum; but nudging it moves the output although that unit is zero in {self._place(j, e, leaf)}"
                    )
            if not others:
                return (
                    f"no output of the rule holds unit {unit} of {self._place(i, d, leaf)}; but nudging it moves the "
                    "output. Return its dimension, or mark it with call.statistic or call.freeze"
                )
        return None

    def _removed(self, leaf: Space, unit: int) -> bool:
        """Whether taking the unit out differs from setting it to zero in all inputs; True if it cannot be taken out."""
        zero, gone = {}, {}
        for i, (tensor, dims) in enumerate(zip(self.tensors, self.dims, strict=True)):
            if any(leaf in spaces.leaves(dim) for dim in dims):
                zero[id(tensor)] = self._without(i, leaf, unit)
                gone[id(tensor)] = _cut(tensor, dims, leaf, unit)
        try:
            _, small = self.subject.run(gone)
        except Exception:  # its ints say another size, or it needs that unit
            return True
        _, large = self.subject.run(zero)
        expected = [_cut(t, dims, leaf, unit) for t, dims in zip(large, self.result_dims, strict=True)]
        return any(bool(moved(a, b).any()) or a.shape != b.shape for a, b in zip(expected, small, strict=True))

    def _differs(self, left: dict[int, torch.Tensor], right: dict[int, torch.Tensor]) -> bool:
        a, b = self.subject.run(left)[1], self.subject.run(right)[1]
        return any(bool(moved(x, y).any()) for x, y in zip(a, b, strict=True))

    def _with_nudge(self, i: int, d: int, leaf: Space, unit: int) -> torch.Tensor:
        tensor = self.tensors[i].detach().clone()
        where = positions(self.dims[i][d], leaf, unit)
        rows = tensor.movedim(d, 0)[where]
        generator = torch.Generator().manual_seed(unit)
        amounts = torch.rand(rows.shape, generator=generator, dtype=torch.float64) * 0.5 + 0.25
        tensor.movedim(d, 0)[where] = rows + amounts.to(rows)
        return tensor

    def _without(self, i: int, leaf: Space, unit: int) -> torch.Tensor:
        return self.tensors[i].masked_fill(only_at(self.tensors[i].shape, self.dims[i], leaf, unit), 0)

    def _place(self, i: int, d: int, leaf: Space) -> str:
        shape = tuple(self.tensors[i].shape)
        part = "" if shape[d] == leaf.size else f"a part or factor (size {leaf.size}) of "
        return f"{part}dimension {d} of input {i} {shape}"

    def _given(self, o: int, leaf: Space, unit: int) -> str:
        found = [
            f"{positions(dim, leaf, unit)} of dimension {d}"
            for d, dim in enumerate(self.result_dims[o])
            if leaf in spaces.leaves(dim)
        ]
        return f"positions {' and '.join(found)}" if found else "nothing of that output"


def _read(rule: Rule, function: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> _Reading:
    name = function_name(function)
    subject = Subject(function, args, kwargs, writes(name))
    tensors = subject.tensors()
    out, results = subject.run({})
    recorder = Recorder({}, lambda: "")
    for tensor in tensors:
        recorder.put(tensor, [spaces.new(int(n)) for n in tensor.shape], Origin("input"))
    numbers = itertools.count()
    seen_args, seen_kwargs = mapped(
        (args, kwargs), lambda t: t, lambda n: SourcedInt(n, Attribute(f"argument {next(numbers)}"))
    )
    base = name if name.startswith("__") or not name.endswith("_") else name[:-1]
    try:
        answer: Any = rule(Call(recorder, base, seen_args, seen_kwargs, out))
    except Exception as error:
        raise AssertionError(f"{name}: the rule failed with {type(error).__name__}: {error}") from error
    dims = [] if answer is None else [answer] if isinstance(out, torch.Tensor) else list(answer)
    outs = tensors_in(out)
    if len(dims) != len(outs):
        raise AssertionError(f"{name}: the function has {len(outs)} outputs, the rule gave dimensions of {len(dims)}")
    for o, (tensor, own) in enumerate(zip(outs, dims, strict=True)):
        sizes = tuple(spaces.size_of(dim) for dim in own)
        if sizes != tuple(tensor.shape):
            raise AssertionError(f"{name}: output {o} has shape {tuple(tensor.shape)}, the rule gave sizes {sizes}")
    if subject.writes:
        dims.append(recorder.dims(args[0]))
    return _reading(name, subject, recorder, results, dims)


def _reading(
    name: str, subject: Subject, recorder: Recorder, results: list[torch.Tensor], dims: list[Dims]
) -> _Reading:
    tensors = subject.tensors()
    statistics = {leaf for dim, _ in recorder.statistics for leaf in spaces.leaves(dim)}
    below = dict.fromkeys(leaf for t in tensors for dim in recorder.dims(t) for leaf in spaces.leaves(dim))
    pinned: dict[Space, set[int]] = {}
    for dim, first in recorder.pinned:
        for leaf in spaces.ends(dim, first):
            pinned.setdefault(leaf, set()).add(0 if first else leaf.size - 1)
    free = [leaf for leaf in below if not leaf.frozen and leaf not in statistics and leaf.size > 1]
    return _Reading(name, subject, tensors, [recorder.dims(t) for t in tensors], results, dims, free, pinned)


def _cut(tensor: torch.Tensor, dims: Dims, leaf: Space, unit: int) -> torch.Tensor:
    """The tensor without one unit of a leaf."""
    for d, dim in enumerate(dims):
        gone = set(positions(dim, leaf, unit))
        if gone:
            tensor = tensor.index_select(d, torch.tensor([p for p in range(tensor.shape[d]) if p not in gone]))
    return tensor


def _where(mask: torch.Tensor) -> str:
    found = mask.nonzero().tolist()
    return ", ".join(map(str, found[:3])) + (f" and {len(found) - 3} more places" if len(found) > 3 else "")
