"""``netsmith inspect --influence``: measures what the predictions lean on, and shows it as bars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .progress import stages

if TYPE_CHECKING:
    from ..wiring import Wiring

STAGES = {"blocks": "measuring the influence of blocks and branches", "axes": "measuring the influence of axes"}
_WIDTH = 32  # of the longest bar, in characters


@dataclass(frozen=True)
class Influences:
    """Influence by name: of ``blocks`` and branches as ``evidence.influence``, of ``axes`` as ``axis_influence``."""

    blocks: Mapping[str, float]
    axes: Mapping[str, float]


def measured(wiring: Wiring, batches: Any, *, seed: int) -> Influences:
    """Both, with a bar on stderr: a forward for each block and branch, then one backward pass a batch for all axes."""
    from ..evidence import influence
    from ..searches.axis_influence import axis_influence
    from ..wiring import Branch

    names = [n for n, part in wiring.parts.items() if part.kept is None and (part.residual or isinstance(part, Branch))]
    with stages(STAGES) as tell:
        tell("blocks", 0, max(len(names), 1))
        blocks = influence(
            wiring, batches, blocks=names, progress=lambda done, total, name: tell("blocks", done, total, name)
        )
        tell("axes", 0, 1)
        axes = axis_influence(
            wiring, batches, seed=seed, progress=lambda done, total, name: tell("axes", done, total, name)
        )
    return Influences(blocks, axes)


def print_influences(console: Console, found: Influences) -> None:
    from ..reports.influence import AXES, BLOCKS

    for what, values, meaning in (("block or branch", found.blocks, BLOCKS), ("axis", found.axes, AXES)):
        console.print(f"\n{meaning}", markup=False)
        console.print(_bars(values, what))


def write_influences(path: Path, model: str, data: str, found: Influences) -> None:
    """One HTML page."""
    from ..reports import write_html
    from ..reports.influence import influence_page

    subtitle = f"Measured on {data}, at most 256 examples."
    write_html(path, influence_page(f"What {model} uses", found.blocks, found.axes, subtitle=subtitle))


def _bars(values: Mapping[str, float], what: str) -> Table:
    from ..reports.influence import shares

    table = Table()
    for heading in (what, "influence", ""):
        table.add_column(heading, overflow="fold", justify="right" if heading == "influence" else "left")
    for name, share in shares(values).items():
        table.add_row(escape(name), f"{values[name]:.4g}", "█" * round(share * _WIDTH) or "▏")
    return table
