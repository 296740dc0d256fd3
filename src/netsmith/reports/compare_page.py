"""Several runs on one page: side by side in a table, their fronts in one plot, their silhouettes below each other."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from .elements import Cell, Section, contents, paragraph, table, words
from .front_plot import COSTS, front_plot, lines_of, objectives_of
from .numbers import NONE, compact, percent, score_text, share
from .page import page
from .record import RunRecord
from .run_page import FOOTER, asked_text
from .sentence import original_of, result_of, result_sentence
from .silhouette import legend, picture

COMPARISON = "comparison.html"


def compare_page(runs: Mapping[str, RunRecord]) -> str:
    """The page; it opens offline.

    Args:
        runs: short name -> run, at least two.
    """
    title = f"{len(runs)} runs compared"
    cost, score = objectives_of(runs.values())
    plot = front_plot(
        [line for name, run in runs.items() for line in lines_of(run, cost, score, named=name)], cost, score
    )
    told = [
        Section("results", "Results side by side", _results(runs)),
        Section("front", f"{score[:1].upper()}{score[1:]} against {COSTS.get(cost, cost)}", plot),
        Section("sentences", "In words", _sentences(runs)),
        Section("asked", "What was asked differently", _asked(runs)),
        Section("structure", "Width and depth", _silhouettes(runs)),
    ]
    shown = [section for section in told if section.html]
    models = ", ".join(dict.fromkeys(run.model for run in runs.values()))
    parts = [
        f"<h1>{escape(title)}</h1>",
        paragraph(models, "subtitle"),
        contents(shown),
        *(section.text() for section in shown),
    ]
    return page(title, parts, footer=FOOTER)


def _results(runs: Mapping[str, RunRecord]) -> str:
    """One row a run: what its last step costs, with the share of its own original, scores, and whether it is true."""
    results = {name: result_of(run) for name, run in runs.items()}
    scores = list(dict.fromkeys(key for step in results.values() if step is not None for key in step.scores))
    known = [step.cost for step in results.values() if step is not None and step.cost is not None]
    peak = any(cost.peak_bytes is not None for cost in known)
    fields = ("params", "macs", "bytes", *(["peak_bytes"] if peak else []), "latency_ms")
    rows = []
    for name, run in runs.items():
        first, last = original_of(run), results[name]
        row = [Cell(name, run.title, number=False)]
        for field in fields:
            before = None if first is None else getattr(first.cost, field)
            row.append(_amount(None if last is None else getattr(last.cost, field), before, field))
        for key in scores:
            before_score = None if first is None else first.scores.get(key)
            below = "" if before_score is None else f"was {score_text(before_score)}"
            row.append(Cell(score_text(None if last is None else last.scores.get(key)), below))
        rows.append([*row, words(_verified(run))])
    headings = ("params", "MACs", "bytes", *(["peak bytes"] if peak else []), "latency")
    return table("Results", ("run", *headings, *scores, "verify"), rows)


def _amount(value: float | None, before: float | None, field: str) -> Cell:
    if value is None:
        return Cell(NONE)
    fraction = share(value, before)
    text = f"{value:.2f} ms" if field == "latency_ms" else compact(value).rstrip()
    return Cell(text, "" if fraction is None else percent(fraction))


def _verified(run: RunRecord) -> str:
    checks = [check for step in run.steps for check in step.checks]
    if not checks:
        return "not verified"
    failed = [check.name for check in checks if check.status == "failed"]
    return f"FAILED: {', '.join(failed)}" if failed else "holds"


def _sentences(runs: Mapping[str, RunRecord]) -> str:
    return "".join(f"<h3>{escape(name)}</h3>{paragraph(result_sentence(run))}" for name, run in runs.items())


def _asked(runs: Mapping[str, RunRecord]) -> str:
    """The options in which the runs differ."""
    rows = []
    for key in dict.fromkeys(key for run in runs.values() for key in run.asked):
        values = [asked_text(run.asked[key]) if key in run.asked else NONE for run in runs.values()]
        if len(set(values)) > 1:
            rows.append([words(key), *[Cell(value, number=False, code=True) for value in values]])
    return table("Options that differ", ("option", *runs), rows) if rows else ""


def _silhouettes(runs: Mapping[str, RunRecord]) -> str:
    shown = [
        f"<h3>{escape(name)}</h3>{picture(run.axes, id=f'silhouette-{i}')}"
        for i, (name, run) in enumerate(runs.items())
        if run.axes
    ]
    axes = [axis for run in runs.values() for axis in run.axes]
    return "".join(shown) + legend(axes) if shown else ""
