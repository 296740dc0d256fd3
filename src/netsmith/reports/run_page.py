"""One page that tells of one run: what was asked, what came of it, what it rests on, how to do it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from . import run_sections as sections
from .elements import Cell, Section, contents, details, paragraph, table, tile, words
from .front_plot import COSTS, front_plot, lines_of, objectives_of
from .numbers import NONE, compact, percent, score_text, share
from .page import page, write_html
from .record import RunRecord, read_run
from .run_classes import classes
from .run_engines import engines
from .sentence import original_of, result_of, result_sentence
from .silhouette import silhouette

REPORT = "report.html"
FOOTER = (
    "MACs are multiply-accumulates of one call; latency is the median of warm calls on the machine that is named above."
)


def run_report(folder: Path) -> Path:
    """Write ``report.html`` beside the ``run.json`` of a folder.

    Raises:
        FileError: there is no ``run.json``, it is damaged, or the page cannot be written.
    """
    path = folder / REPORT
    write_html(path, run_page(read_run(folder)))
    return path


def run_page(run: RunRecord) -> str:
    """The page: it holds everything it needs and opens offline. Sections without anything to tell are left out.

    Args:
        run: what happened. Names in it are shown as they are, whatever they hold.
    """
    told = [section for section in _sections(run) if section.html]
    date = run.date.replace("T", " ")
    parts = [
        f"<h1>{escape(run.title)}</h1>",
        paragraph(f"{run.model}, {date}, seed {run.seed}", "subtitle"),
        f"<p class=result>{escape(result_sentence(run))}</p>",
        _tiles(run),
        contents(told),
        *(section.text() for section in told),
    ]
    return page(run.title, parts, footer=FOOTER)


def _sections(run: RunRecord) -> list[Section]:
    return [
        Section("asked", "What was asked", asked(run)),
        Section("steps", "Step by step", sections.steps(run) if run.steps else ""),
        Section("front", _front_heading(run), front(run)),
        Section("structure", "Width and depth, before and after", silhouette(run.axes)),
        Section("blocks", "Blocks", sections.blocks(run)),
        Section("classes", "Class by class", classes(run)),
        Section("latency", "Latency, predicted and measured", sections.latency(run)),
        Section("engines", "Engines", engines(run)),
        Section("left", "What stayed as it is, and why", sections.left(run)),
        Section("checks", "Is it true?", sections.checks(run)),
        Section("again", "Do it again", again(run)),
    ]


def asked(run: RunRecord) -> str:
    """The options of the run and, folded, of each step; those that say nothing are left out."""
    steps = {step.name: given(step.asked) for step in run.steps if given(step.asked)}
    options = given({key: value for key, value in run.asked.items() if not (key == "steps" and steps)})
    shown = _options("Options", "option", options) if options else ""
    return shown + (details("Options of each step", _options("Options of each step", "step", steps)) if steps else "")


def _options(caption: str, of: str, options: Mapping[str, object]) -> str:
    rows = [[words(key), Cell(asked_text(value), number=False, code=True)] for key, value in options.items()]
    return table(caption, (of, "value"), rows)


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options without those that are absent or empty, inside mappings too."""
    inside = {key: given(value) if isinstance(value, Mapping) else value for key, value in options.items()}
    return {key: value for key, value in inside.items() if value is not None and value not in ([], {}, "")}


def front(run: RunRecord) -> str:
    """The plot, and every candidate in numbers."""
    cost, score = objectives_of([run])
    plot = front_plot(lines_of(run, cost, score), cost, score)
    if not plot:
        return paragraph(
            "Nothing was scored: give labelled data (--eval DATA) to see a score against the cost.", "quiet"
        )
    hidden = sum(1 for c in run.candidates if score not in c.scores)
    note = f"Not drawn: {hidden:,} of {len(run.candidates):,} candidates, which have no {score}." if hidden else ""
    return plot + paragraph(note, "quiet") + candidates(run)


def candidates(run: RunRecord) -> str:
    """Every structure that was tried, the front first; nothing where none was."""
    if not run.candidates:
        return ""
    names = list(dict.fromkeys(score for candidate in run.candidates for score in candidate.scores))
    peak = any(each.cost.peak_bytes is not None for each in run.candidates)
    ordered = sorted(run.candidates, key=lambda each: (not each.chosen, not each.on_front))
    rows = []
    for each in ordered:
        marks = ["chosen" if each.chosen else "", "front" if each.on_front else "", "healed" if each.healed else ""]
        marks.append(f"rejected: {each.rejected}" if each.rejected else "")
        cost = each.cost
        time = "–" if cost.latency_ms is None else f"{cost.latency_ms:.2f} ms"
        row = [words(each.name), words(each.origin), Cell(f"{cost.params:,}"), Cell(f"{cost.macs:,}")]
        row += [Cell(NONE if cost.peak_bytes is None else f"{cost.peak_bytes:,}")] if peak else []
        row.append(Cell(time))
        row += [Cell(score_text(each.scores.get(name))) for name in names]
        rows.append([*row, words(", ".join(mark for mark in marks if mark)), words(each.plan or "")])
    costs = ("params", "MACs", *(["peak bytes"] if peak else []), "latency")
    headings = ("candidate", "origin", *costs, *names, "", "plan")
    return details(f"All {len(rows):,} candidates", table("Candidates", headings, rows))


def again(run: RunRecord) -> str:
    """The commands, and the machine."""
    shown = f"<pre tabindex=0>{escape(chr(10).join(run.command))}</pre>" if run.command else ""
    facts = [[words(key), words(value)] for key, value in run.machine.items()]
    facts += [[words("seconds, in all"), words(f"{run.seconds:,.0f}")]] if run.seconds else []
    return shown + (table("Machine", ("made with", ""), facts) if facts else "")


def _front_heading(run: RunRecord) -> str:
    cost, score = objectives_of([run])
    return f"{score[:1].upper()}{score[1:]} against {COSTS.get(cost, cost)}"


def _tiles(run: RunRecord) -> str:
    """The result beside the original, one tile a number."""
    first, last = original_of(run), result_of(run)
    if first is None or last is None or first.cost is None or last.cost is None or first is last:
        return ""
    tiles = []
    shown = [("MACs", "", "macs"), ("parameters", "", "params"), ("size", "B", "bytes")]
    for label, unit, field in (*shown, ("peak memory", "B", "peak_bytes")):
        before, after = getattr(first.cost, field), getattr(last.cost, field)
        if before is None or after is None:
            continue
        amounts = f"{compact(before).rstrip()}{unit} → {compact(after).rstrip()}{unit}"
        tiles.append(tile(label, percent(share(after, before)), amounts))
    before_ms, after_ms = first.cost.latency_ms, last.cost.latency_ms
    if before_ms is not None and after_ms is not None:
        tiles.append(tile("latency", percent(share(after_ms, before_ms)), f"{before_ms:.2f} → {after_ms:.2f} ms"))
    for name, value in last.scores.items():
        tiles.append(tile(name, score_text(value), f"was {score_text(first.scores.get(name))}"))
    return f"<ul class=tiles>{''.join(tiles)}</ul>"


def asked_text(value: object) -> str:
    """The value of an option, as JSON unless it is text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
