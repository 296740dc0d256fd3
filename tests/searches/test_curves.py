"""Convex curves, interpolated."""

from __future__ import annotations

import pytest

from netsmith.searches import Curve


def test_the_hull_never_turns_and_never_falls() -> None:
    curve = Curve(("a",), {8: 0.0, 6: 0.3, 5: 0.1, 4: 0.2, 2: 0.15, 1: 2.0})
    assert curve.hull == ((8, 0.0), (2, 0.15), (1, 2.0))
    assert curve.error(8) == 0 and curve.error(1) == 2.0
    assert curve.error(5) == pytest.approx(0.075)
    assert curve.error(0) == 2.0 and curve.error(9) == 0


def test_a_straight_curve_and_a_single_point() -> None:
    assert Curve(("a",), {4: 0.0}).error(2) == 0
    assert Curve(("a",), {4: 0.0, 2: 1.0}).error(3) == 0.5
