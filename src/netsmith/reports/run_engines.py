"""The section of a run's page on engines: milliseconds under each, and which to use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .elements import Cell, paragraph, table, words
from .engines import CLOSE, not_faster
from .numbers import NONE, percent, share
from .record import EngineRecord, RunRecord


def engines(run: RunRecord) -> str:
    """Milliseconds under each engine; the fastest whose outputs stay close is recommended."""
    if not run.engines:
        return ""
    best = fastest(run.engines)
    rows = []
    for row in run.engines:
        notes = [row.why or "", "recommended" if row is best else ""]
        rows.append(
            [
                Cell(row.engine, number=False),
                words(row.precision),
                Cell(str(row.batch)),
                Cell(NONE if row.original_ms is None else f"{row.original_ms:.2f}"),
                Cell(NONE if row.result_ms is None else f"{row.result_ms:.2f}"),
                Cell(percent(share(row.result_ms, row.original_ms))),
                Cell(NONE if row.difference is None else f"{row.difference:.1e}"),
                words("; ".join(note for note in notes if note)),
            ]
        )
    headings = ("engine", "precision", "batch", "original, ms", "result, ms", "share", "difference", "")
    said = "No engine ran the result."
    if best is not None:
        said = (
            f"Use {best.engine} in {best.precision}: {best.result_ms:.2f} ms for a batch of {best.batch}, the fastest "
            "measured here whose outputs stay within 5% of the largest."
        )
    slow = not_faster(_macs_share(run), _shares_of_time(run.engines), "The result", "the original")
    return paragraph(said) + paragraph(f"{slow}." if slow else "", "note") + table("Engines", headings, rows)


def fastest(rows: Sequence[EngineRecord]) -> EngineRecord | None:
    """The quickest for an example whose outputs, where they were compared, stay close to eager float32."""
    fit = [row for row in rows if row.result_ms is not None and not row.why and (row.difference or 0.0) <= CLOSE]
    return min(fit, key=lambda row: (row.result_ms or 0.0) / max(row.batch, 1), default=None)


def _macs_share(run: RunRecord) -> float | None:
    """Of the result in the original's multiply-accumulates."""
    costs = [step.cost for step in run.steps if step.cost is not None]
    return share(costs[-1].macs, costs[0].macs) if costs else None


def _shares_of_time(rows: Sequence[EngineRecord]) -> Mapping[str, float]:
    """Engine and precision -> the result's time as a share of the original's, where both were measured."""
    shares = {f"{row.engine} {row.precision}": share(row.result_ms, row.original_ms) for row in rows}
    return {name: fraction for name, fraction in shares.items() if fraction is not None}
