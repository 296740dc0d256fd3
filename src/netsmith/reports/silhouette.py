"""A network's silhouette: every axis a bar as long as it is wide, mirrored around a spine, from input to output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from .elements import Cell, details, name, table, words
from .numbers import percent
from .record import AxisRecord
from .short_names import short_names

LABELLED = 64  # up to so many axes have their names beside them
LETTERS = 16  # of a name, so that it fits a phone


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
    frame = _frame(axes)
    short = short_names([axis.name for axis in axes])
    rows = [_row(axis, _brief(short[axis.name]), 8 + i * frame.step, frame, id) for i, axis in enumerate(axes)]
    height = len(axes) * frame.step + 16
    before, after = sum(axis.before > 0 for axis in axes), sum(axis.after > 0 for axis in axes)
    return (
        f"<svg class=silhouette role=img width='100%' height='{height}' "
        f"aria-label='Silhouette of the network: {before} axes before, {after} after'>"
        f"<defs><pattern id='{id}-gone' width=6 height=6 patternUnits=userSpaceOnUse patternTransform='rotate(45)'>"
        "<rect class=ghost width=6 height=6 /><rect class=hatch width=2 height=6 /></pattern></defs>"
        f"{''.join(rows)}<line class=spine x1='{frame.centre}%' x2='{frame.centre}%' y1=0 y2='{height}' /></svg>"
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


@dataclass(frozen=True)
class _Frame:
    """Where bars lie.

    Attributes:
        labelled: names and widths stand beside the bars.
        step: pixels from one bar to the next.
        centre, room: middle of the bars and length of the longest, in percent of the picture.
        longest: units of a bar that fills the room; wider ones are cut off.
    """

    labelled: bool
    step: int
    centre: float
    room: float
    longest: int

    def bar(self, kind: str, width: int, top: int, fill: str = "") -> str:
        length = max(self.room * min(width / self.longest, 1), 0.4)
        place = f"x='{self.centre - length / 2:.2f}%' y='{top}' width='{length:.2f}%' height='{self.step - 2}'"
        return f"<rect class={kind} {place} rx=2{fill} />"


def _frame(axes: Sequence[AxisRecord]) -> _Frame:
    """A vocabulary beside hidden sizes would make these invisible: it is cut off at four times what most have."""
    sizes = sorted(max(axis.before, axis.after) for axis in axes)
    longest = min(sizes[-1], 4 * sizes[len(sizes) * 4 // 5]) or 1
    if len(axes) <= LABELLED:
        return _Frame(True, 16, 54.0, 44.0, longest)
    return _Frame(False, max(3, min(8, 900 // len(axes))), 50.0, 98.0, longest)


def _row(axis: AxisRecord, label: str, top: int, frame: _Frame, id: str) -> str:
    bars = []
    if axis.after == 0:
        bars.append(frame.bar("gone", axis.before, top, f" fill='url(#{id}-gone)'"))
    else:
        kind = "frozen" if axis.frozen and axis.after == axis.before else "after"
        if axis.after > axis.before:
            bars.append(frame.bar("grown", axis.after, top))
        if axis.before:
            bars.append(frame.bar("ghost", axis.before, top))
            bars.append(frame.bar(kind, min(axis.before, axis.after), top))
    if max(axis.before, axis.after) > frame.longest:
        for side in (-1, 1):
            left = frame.centre + side * (frame.room / 2 - 1.5)
            bars.append(f"<rect class=break x='{left:.2f}%' y='{top}' width='2' height='{frame.step - 2}' />")
    texts = ""
    if frame.labelled:
        width = f"{axis.before:,}" if axis.before == axis.after else f"{axis.before:,} → {axis.after:,}"
        base = top + frame.step - 5
        texts = (
            f"<text class=axis x='31%' y='{base}' text-anchor=end>{escape(label)}</text>"
            f"<text class=width x='77.5%' y='{base}'>{width}</text>"
        )
    return f"<g><title>{escape(_words(axis))}</title>{''.join(bars)}{texts}</g>"


def _words(axis: AxisRecord) -> str:
    if axis.before == 0:
        return f"{axis.name}: new, {axis.after:,} units"
    if axis.after == 0:
        return f"{axis.name}: {axis.before:,} units, removed"
    if axis.after == axis.before:
        return f"{axis.name}: {axis.before:,} units{f'; cannot change: {axis.frozen}' if axis.frozen else ''}"
    return f"{axis.name}: {axis.before:,} units before, {axis.after:,} after ({percent(axis.after / axis.before)})"


def _brief(text: str) -> str:
    return text if len(text) <= LETTERS else "…" + text[1 - LETTERS :]
