"""kept_positions against brute force over random nested layouts."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from netsmith.wiring.layouts import (
    Concat,
    Layout,
    _units_by_position,
    axis_names,
    kept_positions,
    layout_size,
    unit_positions,
)

SIZES = {"a": 3, "b": 4, "c": 2, "d": 1}
KEEPS = st.fixed_dictionaries(
    {},
    optional={
        name: st.sets(st.integers(0, size - 1), min_size=1).map(sorted) for name, size in SIZES.items() if size > 1
    },
)


def layouts(depth: int, names: frozenset[str]) -> st.SearchStrategy[Layout]:
    """Along one position an axis occurs once, as the algebra makes them."""
    if depth == 0 or not names:
        return st.lists(st.integers(1, 3), max_size=2).map(tuple)

    @st.composite
    def draw_layout(draw: st.DrawFn) -> Layout:
        parts: list = []
        left = set(names)
        for kind in draw(st.lists(st.sampled_from(["axis", "fixed", "concat"]), max_size=3)):
            if kind == "fixed":
                parts.append(draw(st.integers(1, 3)))
            elif kind == "axis" and left:
                name = draw(st.sampled_from(sorted(left)))
                left.discard(name)
                parts.append(name)
            elif kind == "concat":
                inner = tuple(draw(st.lists(layouts(depth - 1, frozenset(left)), min_size=2, max_size=3)))
                left -= {n for layout in inner for n in axis_names(layout)}
                parts.append(Concat(inner))
        return tuple(parts)

    return draw_layout()


LAYOUTS = layouts(2, frozenset(SIZES))


@settings(max_examples=200, deadline=None)
@given(LAYOUTS, KEEPS)
def test_kept_positions_are_those_of_no_removed_unit(layout: Layout, keep: dict[str, list[int]]) -> None:
    gone: set[int] = set()
    for name in set(axis_names(layout)) & set(keep):
        for unit, positions in enumerate(unit_positions(layout, SIZES, name)):
            if unit not in keep[name]:
                gone |= set(positions)
    expected = [p for p in range(layout_size(layout, SIZES)) if p not in gone]
    assert kept_positions(layout, SIZES, keep) == expected
    assert len(expected) == layout_size(layout, {**SIZES, **{name: len(units) for name, units in keep.items()}})


@settings(max_examples=100, deadline=None)
@given(LAYOUTS)
def test_units_share_no_position_and_have_equally_many(layout: Layout) -> None:
    for name in set(axis_names(layout)):
        units = unit_positions(layout, SIZES, name)
        assert len(units) == SIZES[name]
        assert len({len(positions) for positions in units}) == 1
        assert len({p for positions in units for p in positions}) == sum(map(len, units))


def test_the_empty_layout_is_a_dimension_of_size_one() -> None:
    assert layout_size((), SIZES) == 1
    assert kept_positions((), SIZES, {"a": [0]}) == [0]
    assert list(axis_names(())) == []


def test_a_packed_projection() -> None:
    layout = (3, "a", "c")  # qkv, heads, width
    assert kept_positions(layout, SIZES, {"a": [0, 2]}) == [0, 1, 4, 5, 6, 7, 10, 11, 12, 13, 16, 17]
    assert unit_positions(layout, SIZES, "c") == [[0, 2, 4, 6, 8, 10, 12, 14, 16], [1, 3, 5, 7, 9, 11, 13, 15, 17]]


def test_nested_concatenations() -> None:
    layout: Layout = (Concat((("a",), (Concat((("b",), (2,))),), ("c", "d"))),)
    assert list(axis_names(layout)) == ["a", "b", "c", "d"]
    assert layout_size(layout, SIZES) == 3 + 4 + 2 + 2
    assert kept_positions(layout, SIZES, {"a": [1], "b": [0, 3], "c": [1]}) == [1, 3, 6, 7, 8, 10]
    assert unit_positions(layout, SIZES, "b") == [[3], [4], [5], [6]]


@settings(max_examples=200, deadline=None)
@given(LAYOUTS)
def test_unit_positions_are_those_found_position_by_position(layout: Layout) -> None:
    for name, size in SIZES.items():
        units = unit_positions(layout, SIZES, name)
        assert len(units) == size and units == _units_by_position(layout, SIZES, name)
