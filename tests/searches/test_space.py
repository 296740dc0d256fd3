"""Menus found on the wiring, and narrowed by patterns."""

from __future__ import annotations

from typing import Any

import pytest

from block_networks import images as batch_of_images
from block_networks import stacked
from netsmith.errors import InputError, UnknownNameError
from netsmith.plans import ReplaceBlock
from netsmith.searches import Space, find_menus
from netsmith.wiring import trace
from search_problems import task
from small_networks import network

WIRING = trace(*task()[:2])
INNER = [f"blocks.{i}.wide.weight:0" for i in range(3)]


def test_widths_of_every_free_axis() -> None:
    menus = find_menus(WIRING, Space(steps=4))
    assert [menu.name for menu in menus.widths] == ["stem.weight:0", *INNER]
    assert [menu.widths for menu in menus.widths] == [(8, 6, 4, 2, 1), *[(16, 12, 8, 4, 1)] * 3]
    assert menus.blocks == {} and menus.precisions == ()


def test_depth_growth_and_precision_only_where_they_are_asked_for() -> None:
    menus = find_menus(WIRING, Space(widths=False, depth=True, growth=(1.5,), precision=("int8",)))
    assert list(menus.blocks) == ["blocks.0", "blocks.1", "blocks.2"]
    assert menus.precisions == ("int8",)
    assert [menu.widths for menu in menus.widths if menu.name in INNER] == [(24, 16)] * 3
    text = str(menus)
    assert "blocks.1" in text and "24 16" in text and "weights as int8" in text


def test_maps_are_offered_where_forward_allows_them() -> None:
    menus = find_menus(WIRING, Space(widths=False, operators=("conv2d", "linear"), ignore=("blocks.0",)))
    assert list(menus.blocks) == ["blocks.1 as linear", "blocks.2 as linear"]
    assert menus.blocks["blocks.1 as linear"] == ReplaceBlock("blocks.1", "linear", 8)
    assert "Menus: 0 widths, 2 blocks" in str(menus) and "blocks.1 as linear" in str(menus)
    images = find_menus(
        trace(stacked().eval(), batch_of_images()),
        Space(depth=True, operators=("linear", "conv2d", "channels"), widths=False),
    )
    kinds = {choice.partition(" as ")[2] for choice in images.blocks}
    assert kinds == {"", "conv2d", "channels"}


def test_one_choice_for_each_block() -> None:
    menus = find_menus(WIRING, Space(depth=True, operators=("linear",)))
    assert menus.distinct(()) == ()
    assert menus.distinct(("blocks.0", "blocks.1", "blocks.0 as linear")) == ("blocks.0 as linear", "blocks.1")


def test_widths_are_rounded() -> None:
    menus = find_menus(WIRING, Space(steps=8, round_to=4))
    assert {width % 4 for menu in menus.widths for width in menu.widths} == {0}


def test_patterns_narrow_the_space() -> None:
    only = find_menus(WIRING, Space(depth=True, only=("blocks.1*",)))
    assert [menu.name for menu in only.widths] == [INNER[1]] and list(only.blocks) == ["blocks.1"]
    ignored = find_menus(WIRING, Space(depth=True, ignore=("blocks.0", "stem")))
    assert INNER[0] not in [menu.name for menu in ignored.widths] and "blocks.0" not in ignored.blocks
    assert INNER[1] in [menu.name for menu in ignored.widths]


def test_axes_that_one_number_ties_change_together() -> None:
    model, x = network("attention")
    menus = find_menus(trace(model, x), Space())
    axes = [axis for menu in menus.widths for axis in menu.axes]
    assert len(axes) == len(set(axes))


def test_the_nearest_offered_width() -> None:
    menu = find_menus(WIRING, Space(steps=4)).widths[1]
    assert [menu.nearest(w) for w in (99, 11, 10, 0)] == [16, 12, 12, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": False}, "the space is empty"),
        ({"growth": (0.5,)}, r"growth=0.5 is no factor in \(1, 8\]"),
        ({"growth": 2.0}, "growth=2.0 must be a tuple"),
        ({"operators": ("relu",)}, "operators='relu' is unknown; there are linear, conv2d, channels"),
        ({"operators": "linear"}, "operators='linear' must be a tuple"),
        ({"precision": ("int2",)}, "precision='int2' is unknown; there are int8"),
        ({"only": "stem"}, r"only='stem' must be a tuple; give e.g. only=\('stem',\)"),
        ({"steps": 1}, "steps=1 must be an int ≥ 2"),
    ],
)
def test_bad_spaces(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Space(**options)


def test_bad_patterns_and_kinds() -> None:
    with pytest.raises(UnknownNameError, match="only='body' matches no axis and no block; axes are named like"):
        find_menus(WIRING, Space(only=("body",)))
    with pytest.raises(UnknownNameError, match="ignore pattern 'body' matches no module"):
        find_menus(WIRING, Space(ignore=("body",)))
    with pytest.raises(InputError, match="space is a dict; give e.g. netsmith.searches.Space"):
        find_menus(WIRING, {"depth": True})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="nothing in the model can change"):
        find_menus(WIRING, Space(widths=False, depth=True, only=("stem",)))
