"""The plan, axis by axis, as HTML: width before and after, what goes, and which tensors it runs through."""

from __future__ import annotations

from collections import Counter
from html import escape

from ..plans.edits import ResizeAxis
from ..plans.plan import Plan
from ..wiring.layouts import axis_names
from .numbers import percent, ranges

_SUFFIXES = (".weight:0", ".bias:0", ".weight", ":0")


def short_names(names: list[str]) -> dict[str, str]:
    """Axis -> its name without the tensor and dimension at the end, where that stays unique.

    "layer1.0.conv1.weight:0" is read as "layer1.0.conv1".
    """
    short = {
        name: next((name.removesuffix(s) for s in _SUFFIXES if name.endswith(s) and name != s), name) for name in names
    }
    count = Counter(short.values())
    return {name: brief if count[brief] == 1 else name for name, brief in short.items()}


def widths_table(plan: Plan) -> str:
    """One row an axis: all that change, and those that stay and run through the first two dimensions of a tensor.

    Other dimensions are sizes of kernels and the like, not widths. Rows follow the plan's tensors.
    """
    edits = {edit.axis: edit for edit in plan.resizes}
    tensors: dict[str, list[str]] = {}
    widths: dict[str, int] = {}
    for tensor, layouts in plan.layouts.items():
        for dim, layout in enumerate(layouts):
            for axis in dict.fromkeys(axis_names(layout)):
                if tensor not in tensors.setdefault(axis, []):
                    tensors[axis].append(tensor)
                if axis in edits or dim < 2:
                    widths[axis] = plan.sizes[axis]
    widths |= {axis: edit.size for axis, edit in edits.items()}
    short, widest = short_names(list(widths)), max(widths.values(), default=1)
    rows = [
        _row(axis, short[axis], size, edits.get(axis), widest, tensors.get(axis, [])) for axis, size in widths.items()
    ]
    head = "<tr><th>axis</th><th>width</th><th class=n>before</th><th class=n>after</th><th class=n>kept</th>"
    return f"<table class=widths><thead>{head}<th>removed units</th></tr></thead><tbody>{''.join(rows)}</tbody></table>"


def attributes_table(plan: Plan) -> str:
    """One row an integer of the model that the plan changes, such as out_channels."""
    rows = "".join(
        f"<tr><td><code>{escape(key)}</code></td><td class=n>{before:,}</td><td class=n>{after:,}</td></tr>"
        for key, (before, after) in plan.attributes.items()
    )
    head = "<tr><th>attribute</th><th class=n>before</th><th class=n>after</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _row(axis: str, short: str, size: int, edit: ResizeAxis | None, widest: int, tensors: list[str]) -> str:
    kept = size if edit is None else len(edit.keep)
    bar = f"<span class=bar style='width:{size / widest:.2%}'><span style='width:{kept / size:.2%}'></span></span>"
    return (
        f"<tr><td title='{escape(axis)}'><code>{escape(short)}</code></td><td class=track>{bar}</td>"
        f"<td class=n>{size:,}</td><td class=n>{kept:,}</td><td class=n>{percent(kept / size)}</td>"
        f"<td>{_removed(edit, tensors)}</td></tr>"
    )


def _removed(edit: ResizeAxis | None, tensors: list[str]) -> str:
    if edit is None or len(edit.keep) == edit.size:
        return "<span class=quiet>none</span>"
    kept = set(edit.keep)
    gone = [unit for unit in range(edit.size) if unit not in kept]
    notes = [f"units {ranges(gone)}", f"runs through {', '.join(tensors)}"]
    if edit.statistics:
        notes.append(f"equal up to the statistics of {', '.join(edit.statistics)}")
    listing = "".join(f"<p>{escape(note)}</p>" for note in notes)
    mark = " <span class=mark title='see inside'>statistics</span>" if edit.statistics else ""
    return f"<details><summary>{len(gone):,} in {len(tensors):,} tensors{mark}</summary>{listing}</details>"
