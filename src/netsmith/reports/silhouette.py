"""A network's silhouette: every axis a bar as long as it is wide, mirrored around a spine, from input to output."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from statistics import median

from .elements import Cell, details, name, table, words
from .numbers import percent
from .record import AxisRecord
from .short_names import short_names

LABELLED = 64  # up to so many axes have their names beside them
LETTERS = 18  # of a name, so that it fits a phone


def silhouette(axes: Sequence[AxisRecord], *, id: str = "silhouette") -> str:
    """The picture as inline SVG, which fits any width; hovering names each bar. A table says the same in numbers.

    Args:
        axes: from input to output.
        id: of the picture on its page; another one for each picture.
    """
    if not axes:
        return ""
    return picture(axes, id=id) + legend(axes) + details("Every width as a number", widths(axes))


def picture(axes: Sequence[AxisRecord], *, id: str) -> str:
    """The bars alone. Lengths are shares of the picture's width, so nothing is scaled on a phone but their length."""
    labelled = len(axes) <= LABELLED
    step = 16 if labelled else max(3, min(8, 900 // len(axes)))
    centre, room = (60.0, 50.0) if labelled else (50.0, 98.0)
    longest = _longest(axes)
    short = short_names([axis.name for axis in axes])
    rows = [
        _row(axis, _brief(short[axis.name]) if labelled else "", 8 + i * step, step, centre, room / longest, id)
        for i, axis in enumerate(axes)
    ]
    height = len(axes) * step + 16
    before, after = sum(axis.before > 0 for axis in axes), sum(axis.after > 0 for axis in axes)
    alt = f"Silhouette of the network: {before} axes before, {after} after. The table below gives every width."
    return (
        f"<svg class=silhouette role=img aria-label='{alt}' width='100%' height='{height}'>"
        f"<defs><pattern id='{id}-gone' width=6 height=6 patternUnits=userSpaceOnUse patternTransform='rotate(45)'>"
        "<rect class=ghost width=6 height=6 /><rect class=hatch width=2 height=6 /></pattern></defs>"
        f"{''.join(rows)}<line class=spine x1='{centre}%' x2='{centre}%' y1=0 y2='{height}' /></svg>"
    )


def legend(axes: Sequence[AxisRecord]) -> str:
    """What the colours mean, as far as they occur."""
    kinds = {
        "ghost": ("before", True),
        "after": ("after", True),
        "frozen": ("cannot change", any(axis.frozen and axis.after == axis.before for axis in axes)),
        "gone": ("removed", any(axis.after == 0 for axis in axes)),
        "grown": ("grown", any(axis.after > axis.before for axis in axes)),
    }
    items = "".join(f"<li><i class='key {kind}'></i>{text}</li>" for kind, (text, shown) in kinds.items() if shown)
    return f"<ul class=legend>{items}</ul>"


def widths(axes: Sequence[AxisRecord]) -> str:
    """Every axis in numbers."""
    rows = (
        [
            name(axis.name),
            Cell(f"{axis.before:,}"),
            Cell(f"{axis.after:,}"),
            Cell(percent(axis.after / axis.before) if axis.before else "new"),
            words(axis.frozen or ""),
        ]
        for axis in axes
    )
    return table("Width of every axis", ("axis", "before", "after", "kept", "why it cannot change"), rows)


def _row(axis: AxisRecord, label: str, top: int, step: int, centre: float, scale: float, id: str) -> str:
    cut = 1 / scale * (50.0 if label else 98.0)
    bars = []
    if axis.after == 0:
        bars.append(_bar("gone", axis.before, top, step, centre, scale, cut, f" fill='url(#{id}-gone)'"))
    else:
        kind = "frozen" if axis.frozen and axis.after == axis.before else "after"
        if axis.after > axis.before:
            bars.append(_bar("grown", axis.after, top, step, centre, scale, cut))
        if axis.before:
            bars.append(_bar("ghost", axis.before, top, step, centre, scale, cut))
            bars.append(_bar(kind, min(axis.before, axis.after), top, step, centre, scale, cut))
    if max(axis.before, axis.after) > cut:
        for side in (centre - cut * scale / 2, centre + cut * scale / 2):
            bars.append(f"<rect class=break x='{side - 1.2:.2f}%' y='{top}' width='2' height='{step - 2}' />")
    texts = ""
    if label:
        width = f"{axis.before:,}" if axis.before == axis.after else f"{axis.before:,} → {axis.after:,}"
        base = top + step - 5
        texts = (
            f"<text class=axis x='33%' y='{base}' text-anchor=end>{escape(label)}</text>"
            f"<text class=width x='86.5%' y='{base}'>{width}</text>"
        )
    return f"<g><title>{escape(_words(axis))}</title>{''.join(bars)}{texts}</g>"


def _bar(kind: str, width: int, top: int, step: int, centre: float, scale: float, cut: float, fill: str = "") -> str:
    length = max(min(width, cut) * scale, 0.4)
    left = centre - length / 2
    return f"<rect class={kind} x='{left:.2f}%' y='{top}' width='{length:.2f}%' height='{step - 2}' rx=2{fill} />"


def _words(axis: AxisRecord) -> str:
    if axis.before == 0:
        return f"{axis.name}: new, {axis.after:,} units"
    if axis.after == 0:
        return f"{axis.name}: {axis.before:,} units, removed"
    if axis.after == axis.before:
        return f"{axis.name}: {axis.before:,} units{f'; cannot change: {axis.frozen}' if axis.frozen else ''}"
    return f"{axis.name}: {axis.before:,} units before, {axis.after:,} after ({percent(axis.after / axis.before)})"


def _longest(axes: Sequence[AxisRecord]) -> float:
    """Width of a bar that fills the room. Wider ones (a vocabulary beside hidden sizes) are cut off."""
    sizes = [max(axis.before, axis.after) for axis in axes]
    return min(max(sizes), 6 * median(sizes)) or 1


def _brief(text: str) -> str:
    return text if len(text) <= LETTERS else "…" + text[1 - LETTERS :]
