"""``netsmith inspect``: what of a model hangs together, what it costs, and what cannot change."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..errors import InputError
from .chaining import open_start
from .datasets import open_batches
from .influence import measured, print_influences, write_influences
from .models import ModelSource
from .options import Debug, Input, Json, Mean, Seed, Std, Weights, option, parse_shape
from .output import emit_json, out, print_cost, working
from .training import Original, What

if TYPE_CHECKING:
    from ..wiring import Axis, Wiring

INFLUENCE_HELP = "Measure and plot how much the predictions lean on every block, branch and axis; wants --data."
DATA_HELP = "What to measure influence with, unlabelled: as for shrink."


def inspect(
    what: What,
    original: Original = None,
    weights: Weights = None,
    input: Input = None,
    every: Annotated[bool, typer.Option("--all", help="Also list each frozen axis.")] = False,
    members: Annotated[bool, typer.Option("--members", help="List every tensor that an axis runs through.")] = False,
    influence: Annotated[bool, typer.Option("--influence", help=INFLUENCE_HELP)] = False,
    data: Annotated[str | None, option(DATA_HELP, "DATA")] = None,
    html: Annotated[Path | None, option("With --influence: write its bars as one HTML page.", "FILE")] = None,
    mean: Mean = None,
    std: Std = None,
    seed: Seed = 0,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Axes, blocks and costs of a model; what is frozen, and why."""
    if influence and data is None:
        raise InputError("--influence is measured on data; give --data, e.g. --data digits (no labels are needed)")
    if (html is not None or data is not None) and not influence:
        raise InputError("--data and --html go with --influence")
    from ..costs import measure
    from ..wiring import trace

    source = ModelSource(what, weights, parse_shape(input), seed)
    subject = open_start(what, None, given=source, original=original, trained=influence)
    model, example_inputs = subject.model, subject.opened.example_inputs
    with working("reading the model"):
        wiring = trace(model, example_inputs)
        cost = measure(model, example_inputs)
    found = None
    if data is not None:
        batches = open_batches(data, example_inputs, mean=mean, std=std, shuffle=True, seed=seed)
        found = measured(wiring, batches, seed=seed)
        if html is not None:
            write_influences(html, what, data, found)
    if json:
        measurements = {} if found is None else {"influence": {"blocks": found.blocks, "axes": found.axes}}
        emit_json({"model": what, "cost": cost.as_dict(), **wiring_json(wiring), **measurements})
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
    if found is not None:
        print_influences(console, found)
        if html is not None:
            console.print(f"Written to {html}", markup=False, soft_wrap=True)


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
        "branches": [{"name": b.name, "modules": list(b.modules), "params": b.params} for b in wiring.branches],
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
