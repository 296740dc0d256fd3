"""The algebra of axes while a model is being read. No torch in this file.

A *space* is one index space. A tensor dimension (``Dim``) is a list of spaces: their ordered, row-major product, so
``[]`` is a dimension of size 1. A space is a leaf until it is refined, once, in place: into a *product* of spaces or
into a *sum* (concatenation) of dimensions. Every tensor that holds the space sees the refinement, which is how a late
``view`` splits an axis in every parameter it runs through.

Two dimensions that meet element by element are *unified*: both are refined to their common refinement and their
leaves become one (union-find). Where there is no common refinement the leaves are *frozen* with a reason: less to
prune, never a wrong result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from math import gcd, prod

location: ContextVar[Callable[[], str]] = ContextVar("location", default=lambda: "")
"""Says which call of the model is being read, for reasons; set by the recorder, asked only when something freezes."""


class Space:
    """One index space of ``size`` units; see the module docstring. ``frozen`` is None or a reason in words."""

    __slots__ = ("frozen", "kind", "parent", "parts", "size")

    def __init__(self, size: int, frozen: str | None = None):
        self.size = size
        self.frozen = frozen
        self.parent: Space | None = None
        self.kind: str | None = None  # None (leaf), "product" or "sum"
        self.parts: list = []  # of a product: spaces; of a sum: dimensions

    def __repr__(self) -> str:
        space = find(self)
        if space.kind == "product":
            return "(" + "*".join(map(repr, space.parts)) + ")"
        if space.kind == "sum":
            return "(" + "+".join(map(repr, space.parts)) + ")"
        return f"{space.size}{'!' if space.frozen else ''}"


Dim = list[Space]


def find(space: Space) -> Space:
    """The space that stands for this one after unification."""
    while space.parent is not None:
        if space.parent.parent is not None:
            space.parent = space.parent.parent
        space = space.parent
    return space


def new(size: int, frozen: str | None = None) -> Dim:
    """A fresh dimension of its own."""
    return [Space(size, frozen)] if size != 1 else []


def size_of(dim: Dim) -> int:
    return prod(space.size for space in dim)


def atoms(dim: Dim) -> Dim:
    """The dimension with products expanded: leaves and sums only."""
    out: Dim = []
    for space in dim:
        space = find(space)
        if space.kind == "product":
            out += atoms(space.parts)
        else:
            out.append(space)
    return out


def leaves(dim: Dim) -> Dim:
    """Every leaf below the dimension, in order."""
    out: Dim = []
    for space in atoms(dim):
        if space.kind == "sum":
            for part in space.parts:
                out += leaves(part)
        else:
            out.append(space)
    return out


def ends(dim: Dim, first: bool) -> Dim:
    """Leaves on which the first (last) position of a dimension lies."""
    out: Dim = []
    for space in atoms(dim):
        if space.kind == "sum":
            out += ends(space.parts[0 if first else -1], first)
        else:
            out.append(space)
    return out


def is_frozen(dim: Dim) -> bool:
    return all(leaf.frozen for leaf in leaves(dim))


def _reason(dim: Dim) -> str:
    """Why a frozen dimension is frozen; one that was cut into single units has no leaf that could say."""
    return next((leaf.frozen for leaf in leaves(dim) if leaf.frozen), "read one unit at a time")


def freeze(dim: Dim, why: str) -> None:
    """No plan may change these axes. The first reason stays."""
    fresh = [leaf for leaf in leaves(dim) if not leaf.frozen]
    if fresh:
        place = location.get()()
        reason = f"{why}, in {place}" if place and ", in " not in why else why
        for leaf in fresh:
            leaf.frozen = reason


def concat(parts: Sequence[Dim]) -> Dim:
    """The dimension that lays other dimensions end to end."""
    flat: list[Dim] = []
    for part in parts:
        expanded = atoms(part)
        if len(expanded) == 1 and expanded[0].kind == "sum":
            flat += expanded[0].parts
        else:
            flat.append(expanded)
    if len(flat) == 1:
        return flat[0]
    total = Space(sum(size_of(part) for part in flat))
    if all(is_frozen(part) for part in flat):
        total.frozen = _reason([space for part in flat for space in part])
    else:
        total.kind, total.parts = "sum", flat
    return [total]


def _flat_parts(space: Space) -> list[Dim]:
    """The parts of a sum, nested sums expanded."""
    out: list[Dim] = []
    for part in space.parts:
        part = atoms(part)
        if len(part) == 1 and part[0].kind == "sum":
            out += _flat_parts(part[0])
        else:
            out.append(part)
    return out


# ------------------------------------------------------------------------------------------------------- refinement


def split_product(space: Space, outer: int, inner: int) -> None:
    """Refine a leaf or sum into outer × inner, in place."""
    if space.kind is None:
        space.kind, space.parts = "product", [Space(outer, space.frozen), Space(inner, space.frozen)]
        return
    parts = _flat_parts(space)
    cuts, position = {0}, 0
    for part in parts:
        position += size_of(part)
        cuts.add(position)
    if all(k * inner in cuts for k in range(outer)):
        _tie_stretches(space, parts, outer, inner)
    elif all(size_of(part) % inner == 0 for part in parts):
        shared = Space(inner)
        heads = [new(size_of(part) // inner) for part in parts]
        space.kind, space.parts = "product", [*concat(heads), shared]
        for part, head in zip(parts, heads, strict=True):
            unify(part, [*head, shared])
    else:
        why = f"a product {outer}·{inner} meets a concatenation {[size_of(p) for p in parts]}"
        freeze([space], why)
        space.kind, space.parts = "product", [Space(outer, why), Space(inner, why)]


def _tie_stretches(space: Space, parts: list[Dim], outer: int, inner: int) -> None:
    """A concatenation whose parts fill ``outer`` equal stretches: the stretches become one axis, ``outer`` stays."""
    groups: list[list[Dim]] = []
    group: list[Dim] = []
    position = 0
    for part in parts:
        group.append(part)
        position += size_of(part)
        if position % inner == 0:
            groups.append(group)
            group = []
    first = concat(groups[0])
    space.kind, space.parts = "product", [Space(outer, "number of equal stretches of a concatenation"), *first]
    for other in groups[1:]:
        unify(first, concat(other))


def _split_atom(space: Space, sizes: list[int]) -> list[Dim]:
    """Cut one leaf or sum into consecutive pieces; one dimension per piece."""
    space = find(space)
    if space.kind is None and space.frozen:
        return [new(s, space.frozen) for s in sizes]
    if all(s == 1 for s in sizes):
        freeze([space], "read one unit at a time")
        return [[] for _ in sizes]
    if space.kind is None:
        pieces = [new(s) for s in sizes]
        space.kind, space.parts = "sum", pieces
        return [list(piece) for piece in pieces]
    wanted, position = set(), 0
    for s in sizes:
        position += s
        wanted.add(position)
    done: list[Dim] = []
    start = 0
    for part in _flat_parts(space):
        end = start + size_of(part)
        inside = sorted(cut for cut in wanted if start < cut < end)
        bounds = [start, *inside, end]
        done += split(part, [b - a for a, b in zip(bounds, bounds[1:], strict=False)]) if inside else [part]
        start = end
    space = find(space)
    if space.kind == "sum":
        space.parts = done
    return _gather(done, sizes)


def _gather(pieces: list[Dim], sizes: list[int]) -> list[Dim]:
    """Concatenate consecutive pieces so that they have the given sizes."""
    out: list[Dim] = []
    group: list[Dim] = []
    total = 0
    goals = iter(sizes)
    goal = next(goals)
    for piece in pieces:
        group.append(piece)
        total += size_of(piece)
        if total == goal:
            out.append(concat(group))
            group, total = [], 0
            goal = next(goals, -1)
    return out


def split(dim: Dim, sizes: Sequence[int]) -> list[Dim]:
    """Cut a dimension into consecutive pieces whose sizes add up to its size."""
    sizes = [int(s) for s in sizes]
    if len(sizes) == 1:
        return [dim]
    if is_frozen(dim):
        return [new(s, _reason(dim)) for s in sizes]
    head, common = atoms(dim), gcd(*sizes)
    tail: Dim = []
    while len(head) > 1:
        last = head[-1]
        shared = gcd(common, last.size)
        if common % last.size == 0:
            tail.insert(0, head.pop())
            common //= last.size
        elif shared > 1:
            split_product(last, last.size // shared, shared)
            head = atoms(head)
        else:
            why = f"cut into {sizes} across a product {[s.size for s in atoms(dim)]}"
            freeze(dim, why)
            return [new(s, why) for s in sizes]
    inner = size_of(tail)
    return [piece + tail for piece in _split_atom(head[0], [s // inner for s in sizes])]


def regroup(spaces: Dim, sizes: Sequence[int]) -> list[Dim]:
    """Reshape: distribute a row-major list of spaces over new dimension sizes.

    Works stretch by stretch; a stretch ends where both factorizations have the same cumulative size, so that a
    mismatch among spatial sizes does not freeze the channels. A stretch without common refinement is frozen.
    """
    sizes, rest = [int(s) for s in sizes], atoms(spaces)
    out: list[Dim] = []
    while len(out) < len(sizes):
        if sizes[len(out)] == 1:
            out.append([])
            continue
        last, taken = len(out) + 1, 1
        after, before = sizes[len(out)], rest[0].size
        while after != before:
            if after < before:
                after *= sizes[last]
                last += 1
            else:
                before *= rest[taken].size
                taken += 1
        wanted, head, rest = sizes[len(out) : last], rest[:taken], rest[taken:]
        got = _stretch(head, wanted)
        if got is None:
            why = f"reshape of {[s.size for s in head]} to {wanted}"
            freeze(head, why)
            got = [new(s, why) for s in wanted]
        out += got
        rest = atoms(rest)
    return out


def _stretch(spaces: Dim, sizes: list[int]) -> list[Dim] | None:
    if len(sizes) == 1:
        return [list(spaces)]
    if is_frozen(spaces):
        return [new(s, _reason(spaces)) for s in sizes]
    rest, out = atoms(spaces), []
    for remaining in sizes:
        dim: Dim = []
        while remaining != 1:
            first = rest[0]
            shared = gcd(remaining, first.size)
            if remaining % first.size == 0:
                dim.append(first)
                rest.pop(0)
                remaining //= first.size
            elif shared > 1:
                split_product(first, shared, first.size // shared)
                rest = atoms(rest)
                if rest[0].size != shared and remaining % rest[0].size:
                    return None
            else:
                return None
        out.append(dim)
    return out


# ------------------------------------------------------------------------------------------------------ unification


def unify(left: Dim, right: Dim) -> None:
    """Two dimensions that meet element by element become the same one. A size-1 side broadcasts: nothing to tie."""
    if not left or not right:
        return
    left, right = atoms(left), atoms(right)
    if size_of(left) != size_of(right):
        raise ValueError(f"dimensions of sizes {size_of(left)} and {size_of(right)} cannot be one")
    if is_frozen(left) or is_frozen(right):
        fixed, other = (left, right) if is_frozen(left) else (right, left)
        freeze(other, _reason(fixed))
        return
    while left and right:
        a, b = find(left[0]), find(right[0])
        if a is not b and a.size != b.size:
            big, small = (a, b) if a.size > b.size else (b, a)
            if big.size % small.size:
                why = f"no common refinement of {[s.size for s in left]} and {[s.size for s in right]}"
                freeze(left, why)
                freeze(right, why)
                return
            split_product(big, small.size, big.size // small.size)
        else:
            if a is not b:
                _unify_atoms(a, b)
            left.pop(0)
            right.pop(0)
        left, right = atoms(left), atoms(right)


def _unify_atoms(a: Space, b: Space) -> None:
    if a.kind is not None and b.kind is None:
        a, b = b, a
    if a.kind is None:
        if a.frozen:
            freeze([b], a.frozen)
        elif b.kind is None and b.frozen:
            a.frozen = b.frozen
        if find(a) is not find(b):
            a.parent = b
        return
    right = _flat_parts(b)
    left = _split_atom(a, [size_of(part) for part in right])
    for p, q in zip(left, right, strict=True):
        unify(p, q)
    a, b = find(a), find(b)
    if a is not b:
        b.parent = a
