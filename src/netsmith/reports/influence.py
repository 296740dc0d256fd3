"""How much a prediction leans on each part of a network, as bars."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from .elements import Cell, name, paragraph, table
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
        paragraph(subtitle, "subtitle"),
        "<h2>Influence of every block and branch</h2>",
        influence_bars(blocks, "block or branch", BLOCKS),
        "<h2>Influence of every axis</h2>",
        influence_bars(axes, "axis", AXES),
    ]
    return page(title, parts, footer="Measured without labels, on the data that the command was given.")


def influence_bars(values: Mapping[str, float], what: str, meaning: str) -> str:
    """A table with a bar for each value, as long as its share of the greatest."""
    if not values:
        return paragraph(f"There is no {what} that could be measured.", "quiet")
    rows = [[name(part), Cell(f"{values[part]:.4g}", bar=share)] for part, share in shares(values).items()]
    return paragraph(meaning) + table(f"Influence of every {what}", (what, "influence"), rows)


def shares(values: Mapping[str, float]) -> dict[str, float]:
    """Each value as a share of the greatest, 0 to 1."""
    greatest = max(values.values(), default=0.0)
    return {name: max(value, 0.0) / greatest if greatest > 0 else 0.0 for name, value in values.items()}
