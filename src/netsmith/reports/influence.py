"""How much a prediction leans on each part of a network, as bars."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from .page import page

BLOCKS = (
    "Divergence of the outputs when the block returns its input (if it changes the shape: the best affine map of it) "
    "or the branch adds nothing: mean KL in nats for class scores, else relative squared error."
)
AXES = "Second-order (Fisher) estimate, in nats, of what it would cost to remove the lesser half of the axis' units."


def influence_page(title: str, blocks: Mapping[str, float], axes: Mapping[str, float], *, subtitle: str = "") -> str:
    """One self-contained HTML page with a bar for each block and branch, and one for each axis.

    Args:
        title: heading of the page.
        blocks: block or branch -> influence, in call order.
        axes: axis -> influence.
        subtitle: a line below the heading.
    """
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p class=subtitle>{escape(subtitle)}</p>" if subtitle else "",
        "<h2>Influence of every block and branch</h2>",
        influence_bars(blocks, "block or branch", BLOCKS),
        "<h2>Influence of every axis</h2>",
        influence_bars(axes, "axis", AXES),
    ]
    return page(title, parts, footer="Measured without labels, on the data that the command was given.")


def influence_bars(values: Mapping[str, float], what: str, meaning: str) -> str:
    """A table with a bar for each value, as long as its share of the greatest."""
    if not values:
        return f"<p class=quiet>There is no {escape(what)} that could be measured.</p>"
    rows = [
        f"<tr><td><code>{escape(name)}</code></td><td class=track><span class=bar>"
        f"<span style='width:{100 * share:.1f}%'></span></span></td><td class=n>{values[name]:.4g}</td></tr>"
        for name, share in shares(values).items()
    ]
    head = f"<tr><th>{escape(what)}</th><th>share of the greatest</th><th class=n>influence</th></tr>"
    table = f"<table class=widths><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
    return f"<p>{escape(meaning)}</p><div class=scroll>{table}</div>"


def shares(values: Mapping[str, float]) -> dict[str, float]:
    """Each value as a share of the greatest, 0 to 1."""
    greatest = max(values.values(), default=0.0)
    return {name: max(value, 0.0) / greatest if greatest > 0 else 0.0 for name, value in values.items()}
