"""How axes lie in one dimension of a tensor, as plain data.

A *layout* is the ordered, row-major product of its parts. A part is

* an ``int``: a factor of that size that no plan may change,
* a ``str``: the name of an axis,
* a ``Concat``: the concatenation of several layouts.

So ``()`` is a dimension of size 1, ``("conv1.weight:0",)`` one axis, ``(3, "heads", "width")`` a packed qkv, and
``(Concat((("a",), ("b",))),)`` what ``torch.cat`` makes. Layouts know no tensors: they travel in plans and in files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Concat:
    """Layouts laid end to end."""

    parts: tuple[Layout, ...]


Part = int | str | Concat
Layout = tuple[Part, ...]


def axis_names(layout: Layout) -> Iterator[str]:
    """The axes that lie in a layout, outermost first, each as often as it occurs."""
    for part in layout:
        if isinstance(part, str):
            yield part
        elif isinstance(part, Concat):
            for inner in part.parts:
                yield from axis_names(inner)


def layout_size(layout: Layout, sizes: Mapping[str, int]) -> int:
    """Size of the dimension when each axis has the size given for it."""
    total = 1
    for part in layout:
        total *= _part_size(part, sizes)
    return total


def _part_size(part: Part, sizes: Mapping[str, int]) -> int:
    if isinstance(part, str):
        return sizes[part]
    if isinstance(part, Concat):
        return sum(layout_size(inner, sizes) for inner in part.parts)
    return part


def kept_positions(layout: Layout, sizes: Mapping[str, int], keep: Mapping[str, Sequence[int]]) -> list[int]:
    """Positions of the dimension that stay, in the order of the units given.

    Args:
        layout: the dimension.
        sizes: size of every axis in it, before the edit.
        keep: units that stay, for the axes that change, ascending and each once where some are removed, repeated
            where units are copied; the others keep all.
    """
    positions = [0]
    for part in layout:
        size = _part_size(part, sizes)
        if isinstance(part, str):
            inner: Sequence[int] = keep.get(part, range(size))
        elif isinstance(part, Concat):
            inner, offset = [], 0
            for piece in part.parts:
                inner.extend(offset + p for p in kept_positions(piece, sizes, keep))
                offset += layout_size(piece, sizes)
        else:
            inner = range(size)
        positions = [outer * size + p for outer in positions for p in inner]
    return positions


def position_shares(layout: Layout, sizes: Mapping[str, int], shares: Mapping[str, Sequence[float]]) -> list[float]:
    """For each position of the dimension the product of the shares of the units that lie there.

    Args:
        layout: the dimension.
        sizes: size of every axis in it; those of ``shares`` count by the length of their shares.
        shares: axis -> one number a unit; the units of other axes count as 1.
    """
    products = [1.0]
    for part in layout:
        inner: Sequence[float]
        if isinstance(part, str):
            inner = shares.get(part) or [1.0] * sizes[part]
        elif isinstance(part, Concat):
            inner = [s for piece in part.parts for s in position_shares(piece, sizes, shares)]
        else:
            inner = [1.0] * part
        products = [outer * s for outer in products for s in inner]
    return products


def unit_positions(layout: Layout, sizes: Mapping[str, int], axis: str) -> list[list[int]]:
    """For each unit of ``axis``, the positions of the dimension that belong to it (none where it does not occur)."""
    places = [i for i, part in enumerate(layout) if part == axis or (isinstance(part, Concat) and _has(part, axis))]
    if len(places) != 1:
        return _units_by_position(layout, sizes, axis)
    place, part = places[0], layout[places[0]]
    within = _units_in_concat(part, sizes, axis) if isinstance(part, Concat) else [[u] for u in range(sizes[axis])]
    outer, size = layout_size(layout[:place], sizes), _part_size(part, sizes)
    inner = layout_size(layout[place + 1 :], sizes)
    if outer == inner == 1:
        return within
    return [
        [(o * size + p) * inner + i for o in range(outer) for p in positions for i in range(inner)]
        for positions in within
    ]


def _has(concat: Concat, axis: str) -> bool:
    return any(axis in axis_names(piece) for piece in concat.parts)


def _units_in_concat(concat: Concat, sizes: Mapping[str, int], axis: str) -> list[list[int]]:
    units: list[list[int]] = [[] for _ in range(sizes[axis])]
    offset = 0
    for piece in concat.parts:
        if axis in axis_names(piece):
            for unit, positions in zip(units, unit_positions(piece, sizes, axis), strict=True):
                unit.extend(offset + p for p in positions)
        offset += layout_size(piece, sizes)
    return units


def _units_by_position(layout: Layout, sizes: Mapping[str, int], axis: str) -> list[list[int]]:
    """For an axis that occurs in several factors of a dimension: at any one position only once."""
    units: list[list[int]] = [[] for _ in range(sizes[axis])]
    for position, unit in enumerate(_unit_of_position(layout, sizes, axis)):
        if unit is not None:
            units[unit].append(position)
    return units


def _unit_of_position(layout: Layout, sizes: Mapping[str, int], axis: str) -> list[int | None]:
    """The unit of ``axis`` that each position belongs to, None outside it. An axis occurs once along any position."""
    units: list[int | None] = [None]
    for part in layout:
        inner: list[int | None]
        if part == axis:
            inner = list(range(sizes[axis]))
        elif isinstance(part, Concat):
            inner = [u for piece in part.parts for u in _unit_of_position(piece, sizes, axis)]
        else:
            inner = [None] * _part_size(part, sizes)
        units = [i if o is None else o for o in units for i in inner]
    return units
