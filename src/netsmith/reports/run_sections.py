"""The sections of a run's page that are tables."""

from __future__ import annotations

from .elements import Cell, details, name, paragraph, table, words
from .influence import AXES, BLOCKS, shares
from .numbers import NONE, compact, percent, score_text, share
from .record import CostRecord, RunRecord
from .steps import time_note


def steps(run: RunRecord) -> str:
    """One row a step: costs with their shares of the original's, every score, seconds."""
    names = list(dict.fromkeys(score for step in run.steps for score in step.scores))
    measured = [step.cost for step in run.steps if step.cost is not None]
    peak = any(cost.peak_bytes is not None for cost in measured)
    seconds = any(step.seconds for step in run.steps)
    headings = ["step", "params", "MACs", "bytes", *(["peak bytes"] if peak else []), "latency", *names]
    rows = []
    for step in run.steps:
        cells = _costs(step.cost, measured[0] if measured else None, peak)
        cells += [Cell(score_text(step.scores.get(score))) for score in names]
        cells += [Cell("cached" if step.cached else f"{step.seconds:.1f} s")] if seconds else []
        rows.append([Cell(step.name, step.kind if step.kind not in (step.name, "load") else "", False), *cells])
    shown = table("Steps", [*headings, *(["time"] if seconds else [])], rows, last=True)
    said = "".join(f"<li>{paragraph(f'{step.name}: {sentence}')}</li>" for step in run.steps for sentence in step.said)
    note = time_note(measured[0], measured[-1]) if len(measured) > 1 else None
    return shown + paragraph(note or "", "note") + (f"<ul>{said}</ul>" if said else "")


def checks(run: RunRecord) -> str:
    """What ``verify`` found after each step that it looked at."""
    rows = [
        [words(check.name), words(check.status), words(check.detail), words(step.name)]
        for step in run.steps
        for check in step.checks
    ]
    return table("Checks of verify", ("check", "status", "what was found", "after"), rows) if rows else ""


def left(run: RunRecord) -> str:
    """Parts that were to change and could not, and axes that no plan may change."""
    rows = [[name(part), words(why)] for step in run.steps for part, why in step.left.items()]
    shown = table("Left as it is", ("part", "why"), rows) if rows else ""
    reasons: dict[str, list[str]] = {}
    for axis in run.axes:
        if axis.frozen:
            reasons.setdefault(axis.frozen, []).append(axis.name)
    frozen = [[words(why), Cell(str(len(axes))), name(", ".join(axes))] for why, axes in reasons.items()]
    if frozen:
        shown += table("Axes that no plan may change", ("why it cannot change", "axes", "which"), frozen)
    return shown


def blocks(run: RunRecord) -> str:
    """Fate, influence and sensitivity of each block; influence of each axis, on request."""
    influence = shares({b.name: b.influence for b in run.blocks if b.influence is not None})
    sensitivity = shares({b.name: b.sensitivity for b in run.blocks if b.sensitivity is not None})
    shown = ""
    if influence or sensitivity or any(block.fate != "kept" for block in run.blocks):
        columns = [("influence", influence), ("sensitivity", sensitivity)]
        headings = ["block or branch", "what became of it", *[column for column, lengths in columns if lengths]]
        rows = [
            [
                name(block.name),
                words(block.fate),
                *[_bar(getattr(block, column), lengths.get(block.name)) for column, lengths in columns if lengths],
            ]
            for block in run.blocks
        ]
        shown = (paragraph(f"Influence: {BLOCKS}") if influence else "") + table("Blocks", headings, rows)
    elif run.blocks:
        shown = paragraph(f"All {len(run.blocks):,} blocks and branches are kept; none was measured.", "quiet")
    if run.influence_of_axes:
        lengths = shares(run.influence_of_axes)
        listed = [[name(axis), _bar(value, lengths[axis])] for axis, value in run.influence_of_axes.items()]
        shown += details("Influence of every axis", paragraph(AXES) + table("Axes", ("axis", "influence"), listed))
    return shown


def latency(run: RunRecord) -> str:
    """Predicted and measured milliseconds, where a step or a candidate has both."""
    parts = [(s.name, s.cost, s.predicted_latency_ms) for s in run.steps]
    parts += [(c.name, c.cost, c.predicted_latency_ms) for c in run.candidates]
    rows, errors = [], []
    for part, cost, predicted in parts:
        if cost is not None and cost.latency_ms and predicted is not None:
            errors.append(abs(predicted / cost.latency_ms - 1))
            error = f"{predicted / cost.latency_ms - 1:+.1%}"
            rows.append([words(part), Cell(f"{predicted:.3f}"), Cell(f"{cost.latency_ms:.3f}"), Cell(error)])
    if not rows:
        return ""
    said = f"Predicted as the sum of the parts' measured times; off by {sum(errors) / len(errors):.1%} on average."
    return paragraph(said) + table("Latency", ("model", "predicted, ms", "measured, ms", "error"), rows)


def _costs(cost: CostRecord | None, original: CostRecord | None, peak: bool) -> list[Cell]:
    if cost is None or original is None:
        return [Cell(NONE)] * (5 if peak else 4)
    pairs = [(cost.params, original.params), (cost.macs, original.macs), (cost.bytes, original.bytes)]
    cells = [Cell(f"{value:,}", _below(value, whole)) for value, whole in pairs]
    if peak:
        shown = NONE if cost.peak_bytes is None else f"{compact(cost.peak_bytes)}B"
        cells.append(Cell(shown, _below(cost.peak_bytes, original.peak_bytes)))
    time = NONE if cost.latency_ms is None else f"{cost.latency_ms:.2f} ms"
    return [*cells, Cell(time, _below(cost.latency_ms, original.latency_ms))]


def _below(value: float | None, whole: float | None) -> str:
    fraction = share(value, whole)
    return "" if fraction is None or fraction == 1 else percent(fraction)


def _bar(value: float | None, length: float | None) -> Cell:
    return Cell(NONE, number=False) if value is None else Cell(f"{value:.4g}", bar=length)
