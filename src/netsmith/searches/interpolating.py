"""Errors at widths that no forward was run for, from those around them.

What a removal does to the layers that read the axis is known in closed form for every width. Along one axis the
outputs' divergence follows it closely: their ratio changes slowly, so few forwards tell the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping


def interpolated(known: Mapping[int, float], local: Mapping[int, float]) -> dict[int, float]:
    """Width -> error, full width first, at all widths of ``local``.

    Args:
        known: width -> measured error; the full width, with error 0, is among them.
        local: width -> squared error of the layers that read the axis, 0 at full width.
    """
    widths = sorted(known, reverse=True)
    points = [(local[width], known[width]) for width in widths]
    found = dict(known)
    for width in (w for w in local if w not in known and len(known) > 1):
        behind = sum(w > width for w in widths)  # of those measured; two of them tell
        wide, narrow = (points[min(behind, len(points) - 1) - i] for i in (1, 0))
        found[width] = _along(local[width], wide, narrow)
    return dict(sorted(found.items(), reverse=True))


def _along(at: float, wide: tuple[float, float], narrow: tuple[float, float]) -> float:
    """By a power law; by a straight line where an end is at zero."""
    (x0, y0), (x1, y1) = wide, narrow
    if not x1 > x0:
        return max(y0, y1)
    at = max(at, x0)
    if x0 > 0 and y0 > 0 and y1 > 0:
        return y0 * (y1 / y0) ** (math.log(at / x0) / math.log(x1 / x0))
    return max(y0 + (y1 - y0) * (at - x0) / (x1 - x0), 0.0)
