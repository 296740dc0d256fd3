"""``netsmith inspect``: what of a model hangs together, what it costs, and what cannot change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .models import ModelSource, open_model
from .options import Debug, Input, Json, Model, Seed, Weights, parse_shape
from .output import emit_json, out, print_cost, working

if TYPE_CHECKING:
    from ..wiring import Axis, Wiring


def inspect(
    model: Model,
    weights: Weights = None,
    input: Input = None,
    every: Annotated[bool, typer.Option("--all", help="Also list each frozen axis.")] = False,
    members: Annotated[bool, typer.Option("--members", help="List every tensor that an axis runs through.")] = False,
    seed: Seed = 0,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Axes, blocks and costs of a model; what is frozen, and why."""
    from ..costs import measure
    from ..wiring import trace

    opened = open_model(ModelSource(model, weights, parse_shape(input), seed))
    with working("reading the model"):
        wiring = trace(opened.model, opened.example_inputs)
        cost = measure(opened.model, opened.example_inputs)
    if json:
        emit_json({"model": model, "cost": cost.as_dict(), **wiring_json(wiring)})
        return
    console = out()
    print_cost(console, cost)
    free = wiring.free_axes
    console.print(
        f"\n{len(free)} of {len(wiring.axes)} axes may change; {wiring.free_share():.0%} of the parameters lie on them"
    )
    console.print(_axes_table(wiring.axes if every else free, members=members))
    if not every:
        console.print("frozen (--all lists each)")
        console.print(_frozen_table(wiring))
    _print_unsupported(console, wiring)
    console.print("blocks: parts with the same axes in and out")
    console.print(_blocks_table(wiring))


def wiring_json(wiring: Wiring) -> dict[str, Any]:
    """The wiring for machines: axes with their members, blocks, and functions without a rule."""
    return {
        "axes": [
            {
                "name": axis.name,
                "size": axis.size,
                "frozen": axis.frozen,
                "members": [{"tensor": m.tensor, "dim": m.dim, "role": m.role} for m in axis.members],
            }
            for axis in wiring.axes
        ],
        "blocks": [{"name": block.name, "kind": block.kind, "params": block.params} for block in wiring.blocks],
        "unsupported": [
            {"function": u.function, "calls": u.calls, "axes": u.axes, "first": u.first} for u in wiring.unsupported
        ],
    }


def _table(*headings: str, right: tuple[str, ...] = ()) -> Table:
    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold", justify="right" if heading in right else "left")
    return table


def _axes_table(axes: Iterable[Axis], *, members: bool) -> Table:
    table = _table("axis", "size", "members", "may change", right=("size",) if members else ("size", "members"))
    for axis in axes:
        listed = "\n".join(f"{m.tensor} dim {m.dim} {m.role}" for m in axis.members)
        answer = "yes" if axis.frozen is None else f"no: {axis.frozen}"
        table.add_row(escape(axis.name), str(axis.size), listed if members else str(len(axis.members)), escape(answer))
    return table


def _frozen_table(wiring: Wiring) -> Table:
    """Frozen axes by reason; the reason's first part is the same wherever it occurs."""
    by_reason: dict[str, list[str]] = {}
    for axis in wiring.axes:
        if axis.frozen is not None:
            by_reason.setdefault(axis.frozen.partition(", in ")[0], []).append(axis.name)
    table = _table("why", "axes", "e.g.", right=("axes",))
    for reason, names in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        table.add_row(escape(reason), str(len(names)), escape(names[0]))
    return table


def _print_unsupported(console: Console, wiring: Wiring) -> None:
    for u in wiring.unsupported:
        console.print(
            f"no rule for {u.function}: {u.calls} calls froze {u.axes} axes, first in {u.first}", markup=False
        )


def _blocks_table(wiring: Wiring) -> Table:
    table = _table("block", "kind", "parameters", right=("parameters",))
    for block in wiring.blocks:
        table.add_row(escape(block.name), escape(block.kind), f"{block.params:,}")
    return table
