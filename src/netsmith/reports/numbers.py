"""Numbers as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence

NONE = "–"
_UNITS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))


def compact(number: float) -> str:
    """Three significant digits with a decimal prefix and a no-break space: 12,345,678 is "12.3 M", 950 is "950 "."""
    rounded = float(f"{number:.3g}")  # first, so that 999,600 is 1.00 M and not 1000 k
    for factor, prefix in _UNITS:
        if abs(rounded) >= factor:
            value = rounded / factor
            return f"{value:.{3 - len(str(int(abs(value))))}f}\u00a0{prefix}"
    return f"{rounded:g}\u00a0"


def share(value: float | None, whole: float | None) -> float | None:
    """value / whole, None where either is unknown or the whole is 0."""
    if value is None or not whole or not math.isfinite(value / whole):
        return None
    return value / whole


def percent(fraction: float | None) -> str:
    """Whole percents ("24%"), below ten with one decimal ("4.1%"), below a thousandth "<0.1%"; "–" where unknown."""
    if fraction is None:
        return NONE
    if 0 < fraction < 0.0005:
        return "<0.1%"
    return f"{fraction:.1%}" if 0 < fraction < 0.0995 else f"{fraction:.0%}"


def score_text(value: float | None) -> str:
    """Four decimals; "–" where there is none."""
    return NONE if value is None or math.isnan(value) else f"{value:.4f}"


def ranges(numbers: Sequence[int]) -> str:
    """Ascending integers with runs joined: (1, 2, 3, 7) is "1–3, 7"."""
    pieces: list[list[int]] = []
    for number in numbers:
        if pieces and number == pieces[-1][-1] + 1:
            pieces[-1] = [pieces[-1][0], number]
        else:
            pieces.append([number])
    return ", ".join("–".join(map(str, piece)) for piece in pieces)
