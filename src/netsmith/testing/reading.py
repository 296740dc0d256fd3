"""What a rule says of one call, and whether nature agrees."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..wiring import spaces
from ..wiring.recorder import Dims
from ..wiring.spaces import Space
from .runs import Subject, moved, only_at, positions


@dataclass
class Reading:
    """One call as a rule reads it.

    Attributes:
        name: of the function.
        subject, results: the call, and its outputs.
        tensors, dims: what goes in, and its dimensions.
        result_dims: what the rule says of the outputs.
        free: leaves of the inputs' dimensions about which the rule claims something.
        pinned: units that the rule keeps in their place.
    """

    name: str
    subject: Subject
    results: list[torch.Tensor]
    tensors: list[torch.Tensor]
    dims: list[Dims]
    result_dims: list[Dims]
    free: list[Space]
    pinned: dict[Space, set[int]]

    def fault(self, leaf: Space, unit: int) -> str | None:
        """What does not hold of one unit, or None."""
        held = any(leaf in spaces.leaves(dim) for dims in self.result_dims for dim in dims)
        if held:
            return self._nudged(leaf, unit)
        wrong = self._unseen(leaf, unit)
        return wrong if wrong and self._counts(leaf, unit) else None

    def _holders(self, leaf: Space) -> list[tuple[int, int]]:
        """(tensor, dimension) of every input dimension that holds the leaf and can be nudged."""
        return [
            (i, d)
            for i, dims in enumerate(self.dims)
            for d, dim in enumerate(dims)
            if leaf in spaces.leaves(dim) and (self.tensors[i].is_floating_point() or self.tensors[i].is_complex())
        ]

    def _nudged(self, leaf: Space, unit: int) -> str | None:
        """An output holds the leaf: a nudge stays where the leaf's unit is."""
        for i, d in self._holders(leaf):
            nudge = {id(self.tensors[i]): self._with_nudge(self.tensors[i], i, d, leaf, unit)}
            fault = self._outside(self.results, nudge, i, d, leaf, unit)
            if fault:
                zero, alone = self._alone(i, d, leaf, unit)
                if self._outside(self.subject.run(zero)[1], alone, i, d, leaf, unit):
                    return fault
        return None

    def _alone(self, i: int, d: int, leaf: Space, unit: int) -> tuple[dict[int, torch.Tensor], dict[int, torch.Tensor]]:
        """Inputs in which the unit is zero everywhere but in one dimension, and the same with a nudge there."""
        zero = {id(self.tensors[j]): self.tensors[j] for j, _ in self._holders(leaf)}
        for j, e in self._holders(leaf):
            if (j, e) != (i, d):
                where = torch.tensor(positions(self.dims[j][e], leaf, unit))
                zero[id(self.tensors[j])] = zero[id(self.tensors[j])].detach().index_fill(e, where, 0)
        nudged = self._with_nudge(zero[id(self.tensors[i])], i, d, leaf, unit)
        return zero, zero | {id(self.tensors[i]): nudged}

    def _outside(
        self, before: list[torch.Tensor], nudged: dict[int, torch.Tensor], i: int, d: int, leaf: Space, unit: int
    ) -> str | None:
        """What a nudge moved that does not belong to the unit."""
        after = self.subject.run(nudged)[1]
        for o, (was, now, dims) in enumerate(zip(before, after, self.result_dims, strict=True)):
            outside = moved(was, now) & ~only_at(was.shape, dims, leaf, unit)
            if bool(outside.any()):
                return (
                    f"the rule does not hold at unit {unit} of {self._place(i, d, leaf)}. Nudging it moved output {o} "
                    f"at {_where(outside)}, which the rule does not give to that unit; it gives it "
                    f"{self._given(o, leaf, unit)}"
                )
        return None

    def _unseen(self, leaf: Space, unit: int) -> str | None:
        """No output holds the leaf: each input's unit is not read, or is not seen once it is zero in another."""
        holders = self._holders(leaf)
        for i, d in holders:
            nudge = {id(self.tensors[i]): self._with_nudge(self.tensors[i], i, d, leaf, unit)}
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

    def _counts(self, leaf: Space, unit: int) -> bool:
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
        return any(bool(moved(a, b).any()) or a.shape != b.shape for a, b in zip(large, small, strict=True))

    def _differs(self, left: dict[int, torch.Tensor], right: dict[int, torch.Tensor]) -> bool:
        a, b = (self.subject.run(given)[1] if given else self.results for given in (left, right))
        return any(bool(moved(x, y).any()) for x, y in zip(a, b, strict=True))

    def _with_nudge(self, tensor: torch.Tensor, i: int, d: int, leaf: Space, unit: int) -> torch.Tensor:
        tensor = tensor.detach().clone()
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
