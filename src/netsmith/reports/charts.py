"""Charts as pieces of HTML, drawn by plotly in the browser without a network."""

from __future__ import annotations

from collections.abc import Sequence

from .numbers import compact, percent, score_text, share
from .steps import StepLike, score_names

INK, GRID, COLOURS = "#22303c", "#e3e8ec", ("#1f6f8b", "#c8732b", "#7a5ea8", "#5b8c3a")


def score_chart(steps: Sequence[StepLike]) -> str | None:
    """Every score against MACs, the steps joined in their order; None where nothing was scored.

    The piece holds plotly itself (about 5 MB), so a page must hold it once.
    """
    import plotly.graph_objects as go

    names = [name for name in score_names(steps) if any(name in step.scores for step in steps)]
    if not names or not steps[0].cost.macs:
        return None
    figure = go.Figure()
    for i, (name, colour) in enumerate(zip(names, COLOURS, strict=False)):
        scored = [step for step in steps if name in step.scores]
        figure.add_trace(
            go.Scatter(
                x=[step.cost.macs / steps[0].cost.macs for step in scored],
                y=[step.scores[name] for step in scored],
                name=_plain(name),
                mode="lines+markers+text" if i == 0 else "lines+markers",
                # Steps after the first share their MACs: labels to both sides, away from the line, keep them apart.
                text=[f"\u00a0\u00a0{_plain(step.name)}\u00a0\u00a0" for step in scored],
                textposition=["middle left" if k % 2 else "middle right" for k in range(len(scored))],
                textfont={"color": INK, "size": 13},
                line={"color": colour, "width": 2, "dash": "solid" if i == 0 else "dot"},
                marker={"color": colour, "size": 10 if i == 0 else 6},
                customdata=[[_hover(step, steps[0], name)] for step in scored],
                hovertemplate="%{customdata[0]}<extra></extra>",
                cliponaxis=False,
            )
        )
    axis = {"gridcolor": GRID, "zeroline": False, "linecolor": "#b8c2ca", "ticks": "outside", "tickcolor": "#b8c2ca"}
    y_title = _plain(names[0]) if len(names) == 1 else "score"
    figure.update_layout(
        template="none",
        height=380,
        margin={"l": 64, "r": 24, "t": 36, "b": 56},
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        xaxis={
            **axis,
            "title": {"text": "MACs, share of the original", "font": {"size": 13}},
            "range": [0, 1.14],
            "tickformat": ".0%",
        },
        yaxis={**axis, "title": {"text": y_title, "font": {"size": 13}}},
        legend={"orientation": "h", "x": 0, "y": 1.12},
        showlegend=len(names) > 1,
    )
    config = {"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["select2d", "lasso2d"]}
    # The id is fixed so that the same steps make the same page.
    html: str = figure.to_html(full_html=False, include_plotlyjs=True, config=config, div_id="score-chart")
    return html


def _hover(step: StepLike, original: StepLike, name: str) -> str:
    macs = f"{compact(step.cost.macs).rstrip()} MACs ({percent(share(step.cost.macs, original.cost.macs))})"
    return f"<b>{_plain(step.name)}</b><br>{_plain(name)} {score_text(step.scores[name])}<br>{macs}"


def _plain(text: str) -> str:
    """plotly reads a few HTML tags in every text, even links: show them as they are."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
