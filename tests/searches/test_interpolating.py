"""Between measured widths errors follow what the refit leaves."""

from __future__ import annotations

import pytest

from netsmith.searches.interpolating import interpolated

LOCAL = {16: 0.0, 12: 1.0, 8: 2.0, 4: 4.0, 2: 8.0}


def test_a_power_law_is_met_exactly_between_measured_widths_and_beyond() -> None:
    known = {16: 0.0, 12: 3.0, 4: 3.0 * 4**1.5}
    found = interpolated(known, LOCAL)
    assert list(found) == [16, 12, 8, 4, 2]
    assert found[8] == pytest.approx(3.0 * 2**1.5)
    assert found[2] == pytest.approx(3.0 * 8**1.5)


def test_towards_the_full_width_errors_are_in_proportion() -> None:
    assert interpolated({16: 0.0, 4: 0.4}, LOCAL) == pytest.approx({16: 0.0, 12: 0.1, 8: 0.2, 4: 0.4, 2: 0.8})


def test_measured_errors_stay_as_they_are() -> None:
    known = {16: 0.0, 12: 0.5, 8: 0.2, 4: 0.3, 2: 9.0}
    assert interpolated(known, LOCAL) == known


def test_where_the_refit_tells_nothing_the_greater_error_counts() -> None:
    assert interpolated({16: 0.0, 4: 0.4}, dict.fromkeys(LOCAL, 0.0))[8] == 0.4


def test_without_measured_errors_only_the_full_width_is_left() -> None:
    assert interpolated({16: 0.0}, LOCAL) == {16: 0.0}
