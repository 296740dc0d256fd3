"""The steps as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from .numbers import NONE, compact, percent, score_text, share
from .steps import StepLike, latency_note, score_names


def steps_table(steps: Sequence[StepLike], title: str | None = None) -> Table:
    """One row a step: params, MACs, bytes, latency, each with its share of the first step's, then every score.

    Args:
        steps: the original first.
        title: above the table.

    Returns:
        A table for ``rich.print``; "–" stands where nothing was measured. A caption says so where MACs fell and
        measured time did not. Exact numbers are in ``steps_json``.

    Raises:
        InputError: no steps.
    """
    names = score_names(steps)
    table = Table(
        title=None if title is None else escape(title),
        caption=latency_note(steps),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("step", no_wrap=True)
    peak = any(step.cost.peak_bytes is not None for step in steps)
    for heading in ("params", "MACs", "bytes", *(["peak"] if peak else []), "latency", *names):
        table.add_column(escape(heading), justify="right")
    original = steps[0].cost
    for step in steps:
        cost = step.cost
        table.add_row(
            escape(step.name),
            _cell(compact(cost.params).rstrip(), share(cost.params, original.params)),
            _cell(compact(cost.macs).rstrip(), share(cost.macs, original.macs)),
            _cell(f"{compact(cost.bytes)}B", share(cost.bytes, original.bytes)),
            *([_peak(cost.peak_bytes, original.peak_bytes)] if peak else []),
            _latency(cost.latency_ms, original.latency_ms),
            *[score_text(step.scores.get(name)) for name in names],
        )
    return table


def _peak(peak: int | None, original: int | None) -> str:
    return NONE if peak is None else _cell(f"{compact(peak)}B", share(peak, original))


def _latency(latency_ms: float | None, original_ms: float | None) -> str:
    return NONE if latency_ms is None else _cell(f"{latency_ms:.2f}\u00a0ms", share(latency_ms, original_ms))


def _cell(text: str, fraction: float | None) -> str:
    """In a narrow terminal the share wraps below the number; the number itself holds together."""
    return text if fraction is None or fraction == 1 else f"{text} ({percent(fraction)})"
