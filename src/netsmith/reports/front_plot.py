"""A score against a cost: what was tried, by origin, the front, and what was chosen. Drawn by plotly, offline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from .numbers import compact, score_text
from .record import CandidateRecord, CostRecord, RunRecord

# Each can be told from white and from black.
COLOURS = ("#2d87a8", "#c8732b", "#8a6bb8", "#5b8c3a", "#b8476b", "#7a7f87")
MARKS = ("circle", "square", "diamond", "triangle-up", "x", "cross")
QUIET = "#7a8791"
COSTS = {
    "macs": "MACs",
    "params": "parameters",
    "bytes": "bytes",
    "latency_ms": "ms a call",
    "peak_bytes": "peak bytes",
}


@dataclass(frozen=True)
class Point:
    """One marker: where it is, and what hovering says."""

    x: float
    y: float
    hover: str


@dataclass(frozen=True)
class Line:
    """Markers of one kind: ``joined`` in their order, ``chosen`` as stars, else as a cloud."""

    name: str
    points: tuple[Point, ...]
    joined: bool = False
    chosen: bool = False


def front_plot(lines: Sequence[Line], cost: str, score: str, *, id: str = "plot") -> str:
    """A plot as a piece of HTML, with plotly itself (about 5 MB): a page holds it once. Empty without a point.

    Args:
        lines: what is drawn; later ones lie above.
        cost: name of the horizontal axis, a field of ``CostRecord``.
        score: name of the vertical axis.
        id: of the plot on its page; fixed, so that the same record makes the same page.
    """
    import plotly.graph_objects as go

    drawn = [line for line in lines if line.points]
    if not drawn:
        return ""
    figure = go.Figure([_trace(line, COLOURS[i % len(COLOURS)], MARKS[i % len(MARKS)]) for i, line in enumerate(drawn)])
    axis = {"gridcolor": "rgba(122,135,145,0.25)", "zeroline": False, "linecolor": QUIET, "ticks": "outside"}
    axis |= {"tickcolor": QUIET, "automargin": True}
    figure.update_layout(
        template="none",
        height=420,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        font={"family": "system-ui, sans-serif", "size": 13, "color": QUIET},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        xaxis={**axis, "title": {"text": safe(COSTS.get(cost, cost))}, "rangemode": "tozero", "exponentformat": "SI"},
        yaxis={**axis, "title": {"text": safe(score)}},
        legend={"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top"},
        hoverlabel={"bgcolor": "#22303c", "font": {"color": "#ffffff"}, "align": "left"},
    )
    config = {"displaylogo": False, "responsive": True, "displayModeBar": False}
    html: str = figure.to_html(full_html=False, include_plotlyjs=True, config=config, div_id=id)
    label = escape(f"{score} against {COSTS.get(cost, cost)}; the tables say the same")
    return f"<div class=figure role=img aria-label='{label}'>{html}</div>"


def lines_of(run: RunRecord, prefix: str = "") -> list[Line]:
    """What is drawn of one run: its candidates by origin, the front, its steps, what was chosen.

    Args:
        run: what happened.
        prefix: before every name, to tell runs from each other.
    """
    cost, score = objectives_of([run])
    by_origin: dict[str, list[CandidateRecord]] = {}
    for candidate in run.candidates:
        by_origin.setdefault(candidate.origin, []).append(candidate)

    def points(candidates: Iterable[CandidateRecord]) -> tuple[Point, ...]:
        return points_of([(each.name, each.cost, each.scores, _note(each)) for each in candidates], cost, score)

    lines = [Line(f"{prefix}{origin}", points(found)) for origin, found in by_origin.items()]
    front = sorted(
        (each for each in run.candidates if each.on_front), key=lambda each: cost_value(each.cost, cost) or 0.0
    )
    lines.append(Line(f"{prefix}front", points(front), joined=True))
    steps = points_of([(step.name, step.cost, step.scores, "step") for step in run.steps], cost, score)
    lines.append(Line(f"{prefix}steps", steps, joined=True))
    chosen = points([each for each in run.candidates if each.chosen])
    lines.append(Line(f"{prefix}result", chosen or steps[1:][-1:], chosen=True))
    return lines


def objectives_of(runs: Iterable[RunRecord]) -> tuple[str, str]:
    """Cost and score of the plot: what the first run says, or the first score that was measured."""
    listed = list(runs)
    cost, score = listed[0].objectives
    parts = [part.scores for run in listed for part in run.steps]
    parts += [part.scores for run in listed for part in run.candidates]
    measured = dict.fromkeys(name for scores in parts for name in scores)
    return cost, score if score in measured or not measured else next(iter(measured))


def points_of(
    parts: Iterable[tuple[str, CostRecord | None, Mapping[str, float], str]], cost: str, score: str
) -> tuple[Point, ...]:
    """A point for each part that has both: (name, cost, scores, note)."""
    found = []
    for name, costs, scores, note in parts:
        x = None if costs is None else cost_value(costs, cost)
        if x is not None and score in scores:
            told = [f"<b>{safe(name)}</b>", *([safe(note)] if note else [])]
            told += [f"{safe(key)} {score_text(value)}" for key, value in scores.items()]
            told.append(f"{compact(x).rstrip()} {safe(COSTS.get(cost, cost))}")
            found.append(Point(x, scores[score], "<br>".join(told)))
    return tuple(found)


def cost_value(cost: CostRecord, name: str) -> float | None:
    """A cost by its name; None for one that was not measured, or that does not exist."""
    value = getattr(cost, name, None) if name in CostRecord.model_fields else None
    return None if value is None else float(value)


def safe(text: str) -> str:
    """plotly reads a few HTML tags in every text, even links: show them as they are."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _note(candidate: CandidateRecord) -> str:
    told = [candidate.origin, "healed" if candidate.healed else "", "on the front" if candidate.on_front else ""]
    return ", ".join(each for each in [*told, candidate.rejected and f"rejected: {candidate.rejected}"] if each)


def _trace(line: Line, colour: str, mark: str) -> Any:
    import plotly.graph_objects as go

    marker = {"color": colour, "size": 8, "symbol": mark, "opacity": 0.85}
    if line.chosen:
        marker |= {"symbol": "star", "size": 18, "opacity": 1, "line": {"width": 1, "color": "#ffffff"}}
    return go.Scatter(
        x=[point.x for point in line.points],
        y=[point.y for point in line.points],
        name=safe(line.name),
        mode="lines+markers" if line.joined else "markers",
        line={"color": colour, "width": 2},
        marker=marker,
        customdata=[[point.hover] for point in line.points],
        hovertemplate="%{customdata[0]}<extra></extra>",
        cliponaxis=False,
    )
