"""Engines and precisions side by side, with a recommendation, and a warning where structure shrank and time did not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from ..costs import Cost, Timing, fastest
from .numbers import NONE

CLOSE = 0.05  # of the largest output: what a recommendation may differ from float32
_SMALLER, _FASTER = 0.9, 0.95


def engines_table(timings: Sequence[Timing], title: str | None = None) -> Table:
    """One row an engine and precision, one column a model: median milliseconds, and the difference of the outputs.

    Args:
        timings: of ``costs.compare_engines``.
        title: above the table.
    """
    models = list(dict.fromkeys(t.model for t in timings))
    table = Table(title=None if title is None else escape(title), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("engine", no_wrap=True)
    table.add_column("precision")
    for model in models:
        table.add_column(escape(f"{model}, ms"), justify="right")
        table.add_column("difference", justify="right")
    table.add_column("", overflow="fold")
    found = {(t.model, t.engine, t.precision): t for t in timings}
    for engine, precision in dict.fromkeys((t.engine, t.precision) for t in timings):
        row = [found[model, engine, precision] for model in models]
        cells = [cell for timing in row for cell in (_time(timing), _difference(timing))]
        table.add_row(engine, precision, *cells, escape(next((t.why for t in row if t.why), "")))
    return table


def engine_notes(timings: Sequence[Timing], costs: Mapping[str, Cost]) -> list[str]:
    """Sentences: the fastest form of each model, and where a model has fewer MACs than the first but is no faster.

    Args:
        timings: of ``costs.compare_engines``.
        costs: of the models, the original first.
    """
    notes = []
    for model in costs:
        best = fastest(timings, model, CLOSE)
        if best is not None:
            notes.append(
                f"fastest for {model}: {best.engine} in {best.precision}, {best.latency_ms:.2f} ms, outputs within "
                f"{best.difference:.1e} of the largest"
            )
        any_best = fastest(timings, model)
        if any_best is not None and any_best != best:
            notes.append(
                f"{any_best.engine} in {any_best.precision} takes {any_best.latency_ms:.2f} ms for {model}, but its "
                f"outputs differ by {any_best.difference:.1e} of the largest: measure accuracy before you use it"
            )
    return notes + [note for model in list(costs)[1:] for note in _not_faster(timings, costs, model)]


def engines_json(timings: Sequence[Timing], costs: Mapping[str, Cost]) -> dict[str, Any]:
    """The timings, the fastest of each model, and the notes."""
    best = {model: fastest(timings, model, CLOSE) for model in costs}
    return {
        "timings": [asdict(t) for t in timings],
        "fastest": {model: None if t is None else asdict(t) for model, t in best.items()},
        "notes": engine_notes(timings, costs),
    }


def _not_faster(timings: Sequence[Timing], costs: Mapping[str, Cost], model: str) -> list[str]:
    first = next(iter(costs))
    share = costs[model].macs / max(costs[first].macs, 1)
    before = {(t.engine, t.precision): t.latency_ms for t in timings if t.model == first}
    shares = {}
    for t in timings:
        base = before.get((t.engine, t.precision))
        if t.model == model and t.latency_ms is not None and base:
            shares[f"{t.engine} {t.precision}"] = t.latency_ms / base
    said = not_faster(share, shares, model, first)
    return [] if said is None else [said]


def not_faster(macs: float | None, times: Mapping[str, float], model: str, first: str) -> str | None:
    """The warning where structure got smaller and time did not; None where it did, or nothing got smaller.

    Args:
        macs: share of the first model's that the model has.
        times: engine and precision -> the model's time as a share of the first's.
        model, first: what they are called.
    """
    slow = [f"{name} ({time:.0%} of the time)" for name, time in times.items() if time > _FASTER]
    if macs is None or macs > _SMALLER or not slow:
        return None
    return (
        f"{model} has {macs:.0%} of the MACs of {first}, and is no faster under {', '.join(slow)}: at this size the "
        "time goes elsewhere (memory traffic, overhead of each call)"
    )


def _time(timing: Timing) -> str:
    return NONE if timing.latency_ms is None else f"{timing.latency_ms:.2f}"


def _difference(timing: Timing) -> str:
    return NONE if timing.difference is None else f"{timing.difference:.1e}"
