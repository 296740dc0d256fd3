"""The silhouette: bars as long as axes are wide, in the middle, at every size of a network."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from netsmith.reports.record import AxisRecord
from netsmith.reports.silhouette import LABELLED, legend, picture, silhouette


def bars(axes: list[AxisRecord]) -> list[tuple[str, float, float]]:
    """(kind, middle, length) of each bar, in percent."""
    svg = re.sub(r"=([\w-]+)(?=[ >/])", r"='\1'", picture(axes, id="x"))
    found = []
    for rect in ElementTree.fromstring(svg).iterfind("./g/rect"):
        if rect.get("class") != "break":
            left, length = (float(rect.attrib[key].rstrip("%")) for key in ("x", "width"))
            found.append((rect.attrib["class"], left + length / 2, length))
    return found


def test_bars_are_as_long_as_axes_are_wide_around_one_spine() -> None:
    found = bars([AxisRecord(name="a", before=40, after=10), AxisRecord(name="b", before=20, after=30)])
    assert [kind for kind, _, _ in found] == ["ghost", "after", "grown", "ghost", "after"]
    lengths = [length for _, _, length in found]
    assert lengths == pytest.approx([44.0, 11.0, 33.0, 22.0, 22.0], abs=0.02)
    assert {round(middle, 1) for _, middle, _ in found} == {54.0}


def test_what_is_gone_and_what_cannot_change() -> None:
    axes = [AxisRecord(name="a", before=8, after=0), AxisRecord(name="b", before=8, after=8, frozen="read by position")]
    assert [kind for kind, _, _ in bars(axes)] == ["gone", "ghost", "frozen"]
    text = picture(axes, id="x")
    assert "a: 8 units, removed" in text and "b: 8 units; cannot change: read by position" in text
    assert "removed" in legend(axes) and "cannot change" in legend(axes) and "grown" not in legend(axes)


def test_one_very_wide_axis_does_not_make_the_others_invisible() -> None:
    axes = [AxisRecord(name=f"layer{i}", before=256, after=256) for i in range(8)]
    axes.insert(0, AxisRecord(name="vocabulary", before=50_000, after=50_000))
    found = bars(axes)
    assert found[0][2] == 44.0 and found[2][2] == pytest.approx(11.0)
    assert picture(axes, id="x").count("class=break") == 2  # at both ends of the one that is cut off


def test_a_deep_network_has_thin_bars_without_names() -> None:
    axes = [AxisRecord(name=f"layers.{i}.weight:0", before=8, after=4) for i in range(LABELLED + 1)]
    assert "<text" not in picture(axes, id="x") and "<text" in picture(axes[:-1], id="x")
    assert bars(axes)[0][2] == 98.0


def test_no_axes_no_picture() -> None:
    assert silhouette([]) == ""
