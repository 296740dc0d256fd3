"""Several runs on one page."""

from __future__ import annotations

import pytest

from html_pages import Page
from netsmith.reports.compare_page import compare_page
from run_records import cost, full_run, hostile_run, small_run


@pytest.fixture(scope="module")
def page() -> Page:
    full = full_run()
    other = full.model_copy(update={"asked": {"budget": {"macs": 0.25}, "trials": 40}, "steps": full.steps[:1]})
    return Page(compare_page({"a": full, "b": other, "c": small_run()}))


def test_results_stand_side_by_side(page: Page) -> None:
    rows = [[text.replace("\u00a0", " ") for text in row] for row in page.rows]
    half = ["1.00 k", "50%", "500 k", "50%", "4.00 k", "50%", "1.10 ms", "55%", "0.9400", "was 0.9500", "holds"]
    assert ["a", "A network, searched", *half] in rows
    assert ["c", "Nothing but cost", "1.60 k", "80%", "800 k", "80%", "6.40 k", "80%", "–", "–", "not verified"] in rows


def test_only_options_that_differ_are_listed(page: Page) -> None:
    assert ["budget", '{"macs": 0.5}', '{"macs": 0.25}', "–"] in page.rows
    assert ["trials", "40", "40", "–"] in page.rows  # the third did not ask for any
    assert page.headings[0] == "3 runs compared"


def test_links_and_ids(page: Page) -> None:
    assert page.fetched == [] and page.links
    assert all(link.removeprefix("#") in page.ids for link in page.links)
    assert len(page.ids) == len(set(page.ids))


def test_runs_without_scores_or_axes() -> None:
    page = Page(compare_page({"a": small_run(), "b": small_run()}))
    assert page.headings == ["2 runs compared", "Results side by side", "In words", "a", "b"]


def test_names_are_escaped() -> None:
    evil = "<script>alert(1)</script>"
    html = compare_page({evil: hostile_run(evil), "b": small_run()})
    assert "<script>alert" not in html
    assert html.count("alert(1)") > 10
    Page(html)


def test_a_cost_of_nothing() -> None:
    run = small_run()
    nothing = run.model_copy(update={"steps": (run.steps[0].model_copy(update={"cost": cost(0.0)}), run.steps[1])})
    Page(compare_page({"a": nothing, "b": run}))
