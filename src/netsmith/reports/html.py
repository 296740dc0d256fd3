"""One page that tells what was done to a model. It holds everything it needs and opens offline."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from ..errors import FileError
from ..plans.plan import Plan
from .charts import score_chart
from .influence import BLOCKS, influence_bars
from .numbers import NONE, compact, percent, score_text, share
from .page import page
from .steps import StepLike, latency_note, score_names
from .widths import attributes_table, widths_table


def html_report(
    title: str,
    steps: Sequence[StepLike],
    plan: Plan,
    *,
    verdict_text: str,
    subtitle: str = "",
    reason: str = "",
    influence: Mapping[str, float] | None = None,
) -> str:
    """The report as one HTML page of about 5 MB, most of it plotly.

    Args:
        title: heading of the page.
        steps: the original first, the result last.
        plan: what was changed.
        verdict_text: what ``verify`` found, shown as it is.
        subtitle: a line below the heading.
        reason: why these units were removed, e.g. the score and the budget.
        influence: block or branch of the original -> its influence, where that was measured.

    Raises:
        InputError: no steps.
    """
    names = score_names(steps)
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p class=subtitle>{escape(subtitle)}</p>" if subtitle else "",
        _tiles(steps, names),
        _note(latency_note(steps)),
        "<h2>Step by step</h2>",
        f"<div class=scroll>{_steps(steps, names)}</div>",
        _chart(steps, names),
        *(_plan(step, "") for step in plan.before),
        _plan(plan, reason),
        f"<h2>Influence of every block of the original</h2>{influence_bars(influence, 'block', BLOCKS)}"
        if influence
        else "",
        f"<h2>Is it true?</h2><p>What verify found:</p><pre>{escape(verdict_text)}</pre>",
    ]
    footer = (
        "MACs are multiply-accumulates of one call; latency is the median of warm calls on the machine that wrote this "
        "page."
    )
    return page(title, parts, footer=footer)


def write_html(path: str | os.PathLike[str], html: str) -> None:
    """Write a page, replacing the file; its folder is made.

    Raises:
        FileError: the file cannot be written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(html, encoding="utf-8")
    except OSError as error:
        raise FileError(
            f"{target}: cannot be written ({error.strerror}: {error.filename}). Give a path that you may write to."
        ) from error


def _tiles(steps: Sequence[StepLike], names: list[str]) -> str:
    """The result beside the original, one tile a number."""
    first, last = steps[0], steps[-1]
    tiles = [
        _tile("MACs", compact(first.cost.macs), compact(last.cost.macs), share(last.cost.macs, first.cost.macs)),
        _tile(
            "parameters",
            compact(first.cost.params),
            compact(last.cost.params),
            share(last.cost.params, first.cost.params),
        ),
        _tile(
            "size",
            f"{compact(first.cost.bytes)}B",
            f"{compact(last.cost.bytes)}B",
            share(last.cost.bytes, first.cost.bytes),
        ),
    ]
    if first.cost.latency_ms is not None and last.cost.latency_ms is not None:
        before, after = first.cost.latency_ms, last.cost.latency_ms
        tiles.append(_tile("latency", f"{before:.2f} ms", f"{after:.2f} ms", share(after, before)))
    for name in names:
        if name in first.scores or name in last.scores:
            before_text, after_text = score_text(first.scores.get(name)), score_text(last.scores.get(name))
            tiles.append(_tile(name, before_text, after_text, None))
    return f"<ul class=tiles>{''.join(tiles)}</ul>"


def _tile(label: str, before: str, after: str, fraction: float | None) -> str:
    big, small = (after, f"was {before}") if fraction is None else (percent(fraction), f"{before} → {after}")
    return (
        f"<li><span class=label>{escape(label)}</span><b>{escape(big)}</b><span class=from>{escape(small)}</span></li>"
    )


def _note(text: str | None) -> str:
    return "" if text is None else f"<p class=note>{escape(text)}</p>"


def _steps(steps: Sequence[StepLike], names: list[str]) -> str:
    original = steps[0].cost
    headings = "".join(f"<th class=n>{escape(name)}</th>" for name in ("params", "MACs", "bytes", "latency", *names))
    rows = []
    for step in steps:
        cost = step.cost
        latency = NONE if cost.latency_ms is None else f"{cost.latency_ms:.2f} ms"
        cells = [
            _cell(f"{cost.params:,}", share(cost.params, original.params)),
            _cell(f"{cost.macs:,}", share(cost.macs, original.macs)),
            _cell(f"{cost.bytes:,}", share(cost.bytes, original.bytes)),
            _cell(latency, share(cost.latency_ms, original.latency_ms)),
            *[_cell(score_text(step.scores.get(name)), None) for name in names],
        ]
        last = " class=last" if step is steps[-1] and len(steps) > 1 else ""
        rows.append(f"<tr{last}><td>{escape(step.name)}</td>{''.join(cells)}</tr>")
    return f"<table><thead><tr><th>step</th>{headings}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _cell(text: str, fraction: float | None) -> str:
    below = "" if fraction is None or fraction == 1 else f"<span class=share>{percent(fraction)}</span>"
    return f"<td class=n>{escape(text)}{below}</td>"


def _chart(steps: Sequence[StepLike], names: list[str]) -> str:
    chart = score_chart(steps)
    if chart is None:
        return "<h2>Score against cost</h2><p class=quiet>No step was scored: give evaluate= or labelled data.</p>"
    scores = " and ".join(names[:2])
    return f"<h2>{escape(scores[:1].upper() + scores[1:])} against MACs</h2>{chart}"


def _plan(plan: Plan, reason: str) -> str:
    if plan.block_edits:
        rows = "".join(f"<tr><td><code>{escape(e.block)}</code></td><td>{e.words}</td></tr>" for e in plan.block_edits)
        head = "<tr><th>block or branch</th><th>what became of it</th></tr>"
        table = f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"
        return f"<h2>What was cut</h2><p>{escape(reason)}</p><div class=scroll>{table}</div>"
    changed = sum(len(edit.keep) < edit.size for edit in plan.resizes)
    removed = sum(edit.size - len(edit.keep) for edit in plan.resizes)
    refitted = f" Tensors whose values were changed afterwards: {len(plan.refitted):,}." if plan.refitted else ""
    attributes = (
        f"<details><summary>{len(plan.attributes):,} integers of the model that changed with them</summary>"
        f"{attributes_table(plan)}</details>"
        if plan.attributes
        else ""
    )
    return (
        "<h2>Width of every axis, and what was removed</h2>"
        f"<p>{removed:,} units were removed from {changed:,} {'axis' if changed == 1 else 'axes'}.{refitted} "
        f"{escape(reason)}</p>"
        "<p class='legend quiet'><i style='background:#d3dbe0'></i>before &nbsp; "
        "<i style='background:#1f6f8b'></i>after</p>"
        f"<div class=scroll>{widths_table(plan)}</div>{attributes}"
    )
