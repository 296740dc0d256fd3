"""Numbers as people read them."""

from __future__ import annotations

import pytest

from netsmith.reports.numbers import compact, percent, ranges, score_text, share


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 "), (950, "950 "), (999, "999 "), (1000, "1.00 k"), (1234, "1.23 k"), (9_996, "10.0 k"),
        (99_960, "100 k"), (691_234, "691 k"), (999_600, "1.00 M"), (12_345_678, "12.3 M"), (7e12, "7.00 T"),
    ],
)  # fmt: skip
def test_compact(number: float, text: str) -> None:
    assert compact(number).replace("\u00a0", " ") == text


def test_percent() -> None:
    assert [percent(x) for x in (None, 0.0, 1e-6, 0.041, 0.0996, 0.24, 1.0)] == [
        "–",
        "0%",
        "<0.1%",
        "4.1%",
        "10%",
        "24%",
        "100%",
    ]


def test_share() -> None:
    assert share(1, 4) == 0.25
    assert share(None, 4) is None
    assert share(1, None) is None
    assert share(1, 0) is None


def test_score_text() -> None:
    assert [score_text(x) for x in (None, float("nan"), 0.5)] == ["–", "–", "0.5000"]


@pytest.mark.parametrize(
    ("numbers", "text"), [([], ""), ([4], "4"), ([1, 2], "1–2"), ([0, 1, 2, 5, 7, 8], "0–2, 5, 7–8")]
)
def test_ranges(numbers: list[int], text: str) -> None:
    assert ranges(numbers) == text
