"""The axis algebra against a model of index arithmetic.

A random program of views, cuts, concatenations and meetings is read by the algebra; then random units of the leaves
are removed, and every relation that the program made is checked on masks of kept positions.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netsmith.wiring import spaces
from netsmith.wiring.spaces import Dim, Space

Mask = torch.Tensor
Relation = tuple[str, Callable[[], bool]]


def mask_of(dim: Dim, kept: dict[Space, Mask]) -> Mask:
    """Positions of a dimension that stay."""
    out = torch.ones(1, dtype=torch.bool)
    for space in spaces.atoms(dim):
        if space.kind == "sum":
            own = torch.cat([mask_of(part, kept) for part in space.parts])
        else:
            own = kept.get(space, torch.ones(space.size, dtype=torch.bool))
        out = (out[:, None] & own[None, :]).flatten()
    return out


def outer(dims: list[Dim], kept: dict[Space, Mask]) -> Mask:
    """Elements of a whole tensor that stay, row-major."""
    return mask_of([space for dim in dims for space in dim], kept)


class Program:
    """A random sequence of operations on tensors (lists of dimensions), and what must hold afterwards."""

    def __init__(self, rng: random.Random):
        self.rng = rng
        self.kept: dict[Space, Mask] = {}
        self.relations: list[Relation] = []
        self.tensors: list[list[Dim]] = [self.fresh() for _ in range(3)]
        self.shapes = [[spaces.size_of(d) for d in dims] for dims in self.tensors]

    def fresh(self) -> list[Dim]:
        why = "a constant" if self.rng.random() < 0.15 else None
        return [spaces.new(self.rng.choice([1, 2, 3, 4, 6, 8, 12]), why) for _ in range(self.rng.randint(1, 3))]

    def put(self, dims: list[Dim]) -> None:
        self.tensors.append(dims)
        self.shapes.append([spaces.size_of(d) for d in dims])

    def pick(self) -> list[Dim]:
        return self.rng.choice([tensor for tensor in self.tensors if tensor])  # a view may have made a scalar

    def must(self, name: str, left: Callable[[], Mask], right: Callable[[], Mask]) -> None:
        self.relations.append((name, lambda: torch.equal(left(), right())))

    def step(self) -> None:
        self.rng.choice([self.view, self.view, self.cat, self.cut, self.meet, self.meet, self.permute, self.add])()

    def add(self) -> None:
        self.put(self.fresh())

    def view(self) -> None:
        dims = self.pick()
        total = prod(spaces.size_of(d) for d in dims)
        sizes, rest = [], total
        while rest > 1 and len(sizes) < 3:
            sizes.append(self.rng.choice([d for d in range(1, rest + 1) if rest % d == 0]))
            rest //= sizes[-1]
        sizes.append(rest)
        out = spaces.regroup([space for dim in dims for space in dim], sizes)
        assert [spaces.size_of(d) for d in out] == sizes
        self.must(f"view {sizes}", lambda: outer(dims, self.kept), lambda: outer(out, self.kept))
        self.put(out)

    def permute(self) -> None:
        dims = list(self.pick())
        self.rng.shuffle(dims)
        self.put(dims)

    def cat(self) -> None:
        parts = [self.rng.choice(self.pick()) or [Space(1)] for _ in range(self.rng.randint(2, 3))]
        if sum(spaces.size_of(p) for p in parts) > 64:
            return
        out = spaces.concat(parts)
        assert spaces.size_of(out) == sum(spaces.size_of(p) for p in parts)
        self.must("cat", lambda: torch.cat([mask_of(p, self.kept) for p in parts]), lambda: mask_of(out, self.kept))
        self.put([out])

    def cut(self) -> None:
        dim = self.rng.choice(self.pick())
        size = spaces.size_of(dim)
        if size < 2:
            return
        cuts = sorted(self.rng.sample(range(1, size), min(self.rng.randint(1, 2), size - 1)))
        sizes = [b - a for a, b in zip([0, *cuts], [*cuts, size], strict=True)]
        pieces = spaces.split(dim, sizes)
        assert [spaces.size_of(p) for p in pieces] == sizes

        def together() -> Mask:
            return torch.cat([mask_of(p, self.kept) for p in pieces])

        self.must(f"cut {sizes}", lambda: mask_of(dim, self.kept), together)
        for piece in pieces:
            self.put([piece])

    def meet(self) -> None:
        every = [dim for dims in self.tensors for dim in dims if dim]
        if not every:  # all of size 1
            return
        left = self.rng.choice(every)
        right = self.rng.choice([d for d in every if spaces.size_of(d) == spaces.size_of(left)])
        spaces.unify(left, right)
        self.must("meet", lambda: mask_of(left, self.kept), lambda: mask_of(right, self.kept))

    def remove_units(self) -> None:
        for dims in self.tensors:
            for dim in dims:
                for leaf in spaces.leaves(dim):
                    if leaf not in self.kept and not leaf.frozen:
                        keep = torch.tensor([self.rng.random() < 0.5 for _ in range(leaf.size)])
                        keep[self.rng.randrange(leaf.size)] = True
                        self.kept[leaf] = keep


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 14))
def test_removing_units_respects_every_operation(seed: int, steps: int) -> None:
    program = Program(random.Random(seed))
    for _ in range(steps):
        program.step()
    for dims, shape in zip(program.tensors, program.shapes, strict=True):
        assert [spaces.size_of(d) for d in dims] == shape
        assert [mask_of(d, {}).numel() for d in dims] == shape
    program.remove_units()
    for name, holds in program.relations:
        assert holds(), name
    for dims in program.tensors:
        for dim in dims:
            assert all(leaf.frozen for leaf in spaces.leaves(dim)) == spaces.is_frozen(dim)


def test_unify_makes_one_leaf() -> None:
    a, b = spaces.new(4), spaces.new(4)
    spaces.unify(a, b)
    assert spaces.leaves(a) == spaces.leaves(b)
    spaces.freeze(a, "because")
    assert spaces.leaves(b)[0].frozen == "because"


def test_a_late_view_splits_an_axis_everywhere() -> None:
    weight, activation = spaces.new(12), spaces.new(12)
    spaces.unify(weight, activation)
    heads, width = spaces.regroup(activation, [3, 4])
    assert spaces.leaves(weight) == [*spaces.leaves(heads), *spaces.leaves(width)]
    assert repr(weight[0]) == "(3*4)"


def test_cat_then_chunk_ties_the_parts() -> None:
    a, b = spaces.new(4), spaces.new(6)
    first, second = spaces.split(spaces.concat([a, b]), [4, 6])
    assert spaces.leaves(first) == spaces.leaves(a) and spaces.leaves(second) == spaces.leaves(b)


def test_a_dimension_of_single_units_counts_as_frozen() -> None:
    units = spaces.concat([[], [], [], []])
    assert spaces.is_frozen(units)
    spaces.unify(units, [left := spaces.Space(4)])
    assert left.frozen == "read one unit at a time"
    assert [spaces.size_of(d) for d in spaces.regroup(units, [2, 2])] == [2, 2]


def test_size_one_broadcasts() -> None:
    a = spaces.new(5)
    spaces.unify(a, [])
    assert not spaces.is_frozen(a)
    assert spaces.new(1) == [] and spaces.is_frozen([])


def test_a_clash_freezes_with_a_reason() -> None:
    a, b = spaces.new(2) + spaces.new(3), spaces.new(3) + spaces.new(2)
    spaces.unify(a, b)
    for leaf in [*spaces.leaves(a), *spaces.leaves(b)]:
        assert leaf.frozen == "no common refinement of [2, 3] and [3, 2]"


def test_frozen_spreads_through_unify_and_the_first_reason_stays() -> None:
    a, b = spaces.new(4, "the first reason"), spaces.new(4)
    spaces.unify(a, b)
    spaces.freeze(b, "another reason")
    assert spaces.leaves(b)[0].frozen == "the first reason"


def test_a_mismatch_of_positions_leaves_channels_free() -> None:
    channels, rows, cols = spaces.new(8), spaces.new(6), spaces.new(5)
    out = spaces.regroup(channels + rows + cols, [8, 15, 2])
    assert spaces.leaves(out[0]) == spaces.leaves(channels) and not spaces.is_frozen(channels)
    assert spaces.is_frozen(rows) and spaces.leaves(rows)[0].frozen == "reshape of [6, 5] to [15, 2]"


def test_reasons_name_the_call_that_is_being_read() -> None:
    token = spaces.location.set(lambda: "view of layer1 (net.py:3)")
    try:
        a = spaces.new(4)
        spaces.freeze(a, "because")
    finally:
        spaces.location.reset(token)
    assert spaces.leaves(a)[0].frozen == "because, in view of layer1 (net.py:3)"


def test_dimensions_of_other_sizes_cannot_be_one() -> None:
    with pytest.raises(ValueError, match="sizes 3 and 4 cannot be one"):
        spaces.unify(spaces.new(3), spaces.new(4))
