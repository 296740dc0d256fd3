"""The page: whole, offline, true to its numbers, and safe with any name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest

from netsmith.costs.cost import Cost
from netsmith.errors import FileError, InputError
from netsmith.plans.edits import ResizeAxis
from netsmith.plans.plan import Plan
from netsmith.reports import html_report, write_html

_VOID = {"meta", "link", "br", "hr", "img", "input"}


@dataclass(frozen=True)
class Step:
    name: str
    cost: Cost
    scores: dict[str, float] = field(default_factory=dict)


class Page(HTMLParser):
    """Collects the text of each table row and the addresses a browser would fetch; fails on unbalanced tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.fetched: list[str] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self.open.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" in self.open or "style" in self.open:
            return
        self.text += data
        if "tr" in self.open and data.strip():
            self.rows[-1].append(data.strip())


PLAN = Plan(
    edits=(ResizeAxis("conv1.weight:0", 8, (0, 1, 5), ("layer_norm in norm1",)),),
    sizes={"conv1.weight:0": 8, "fc.weight:0": 4, "conv1.weight:2": 3},
    layouts={
        "conv1.weight": (("conv1.weight:0",), (3,), ("conv1.weight:2",)),
        "fc.weight": (("fc.weight:0",), ("conv1.weight:0",)),
    },
    attributes={"conv1:out_channels": (8, 3)},
    fingerprint="f" * 64,
    refitted=frozenset({"fc.weight"}),
)
STEPS = [
    Step("original", Cost(2_000, 40_000, 8_000, 2.0), {"accuracy": 0.98}),
    Step("prune", Cost(500, 10_000, 2_000, 0.5), {"accuracy": 0.25}),
]


def report(**changes: object) -> str:
    arguments: dict[str, object] = {"title": "A report", "steps": STEPS, "plan": PLAN, "verdict_text": "ok"} | changes
    return html_report(arguments.pop("title"), arguments.pop("steps"), arguments.pop("plan"), **arguments)  # type: ignore[arg-type]


def test_the_page_tells_steps_widths_attributes_and_verdict() -> None:
    page = Page(report(verdict_text="1 edit holds its promise", subtitle="below", reason="Lowest magnitude first."))

    assert ["original", "2,000", "40,000", "8,000", "2.00 ms", "0.9800"] in page.rows
    assert ["prune", "500", "25%", "10,000", "25%", "2,000", "25%", "0.50 ms", "25%", "0.2500"] in page.rows
    (conv,) = [row for row in page.rows if row[0] == "conv1"]
    assert conv[1:4] == ["8", "3", "38%"]
    assert "units 2–4, 6–7" in conv
    assert "runs through conv1.weight, fc.weight" in conv
    assert "equal up to the statistics of layer_norm in norm1" in conv
    assert ["fc", "4", "4", "100%", "none"] in page.rows
    assert not [row for row in page.rows if row[0] == "conv1.weight:2"]  # a kernel's height is no width
    assert ["conv1:out_channels", "8", "3"] in page.rows
    for text in (
        "1 edit holds its promise",
        "below",
        "Lowest magnitude first.",
        "5 units were removed from 1 axis",
    ):
        assert text in page.text


def test_the_page_opens_offline() -> None:
    html = report()

    assert Page(html).fetched == []
    assert not re.search(r"<script[^>]+src=|@import|url\(http", html.split("<script")[0])
    assert html.count("Plotly.newPlot(") == 1


def test_the_same_steps_make_the_same_page() -> None:
    assert report() == report()


def test_every_name_is_escaped() -> None:
    evil = "<script>alert(1)</script>"
    plan = Plan(
        (ResizeAxis(evil, 4, (1,), (evil,)),), {evil: 4}, {evil: ((evil,),)}, {f":{evil}": (4, 1)}, "f", frozenset()
    )
    steps = [Step(evil, Cost(10, 100, 40, 1.0), {evil: 0.5}), Step(evil, Cost(1, 10, 4, 1.0), {evil: 0.5})]

    html = html_report(evil, steps, plan, verdict_text=evil, subtitle=evil, reason=evil)

    assert "<script>alert" not in html
    assert html.count("alert(1)") > 12
    Page(html)


def test_without_scores_there_is_no_chart() -> None:
    html = report(steps=[Step("original", Cost(10, 100, 40)), Step("prune", Cost(5, 50, 20))])

    assert "No step was scored" in html
    assert "plotly" not in html.lower()
    assert len(html) < 50_000


def test_an_empty_plan_and_a_single_step() -> None:
    page = Page(report(plan=Plan((), {}, {}, {}, "f"), steps=STEPS[:1]))

    assert "0 units were removed from 0 axes" in page.text


def test_time_that_did_not_follow_is_said() -> None:
    steps = [STEPS[0], Step("prune", Cost(500, 10_000, 2_000, 2.1))]

    assert "MACs fell to 25% of the original, but measured time is at 105%" in Page(report(steps=steps)).text


def test_no_steps() -> None:
    with pytest.raises(InputError, match="at least one step"):
        report(steps=[])


def test_write_html_makes_the_folder(tmp_path: Path) -> None:
    write_html(tmp_path / "a" / "b.html", "<p>é</p>")

    assert (tmp_path / "a" / "b.html").read_text(encoding="utf-8") == "<p>é</p>"


def test_write_html_to_an_impossible_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(FileError, match=r"cannot be written \(.*file\)\. Give a path"):
        write_html(tmp_path / "file" / "b.html", "")
