"""Bars that are true to their numbers, on a page that opens offline."""

from __future__ import annotations

from netsmith.reports.influence import influence_bars, influence_page, shares


def test_a_bar_is_as_long_as_its_share() -> None:
    html = influence_bars({"a": 2.0, "b": 0.5, "c": -0.1}, "block", "What it means.")
    assert shares({"a": 2.0, "b": 0.5, "c": -0.1}) == {"a": 1.0, "b": 0.25, "c": 0.0}
    assert "width:100.0%" in html and "width:25.0%" in html and "width:0.0%" in html
    assert "<p>What it means.</p>" in html and html.count("<tr>") == 4
    assert shares({"a": 0.0}) == {"a": 0.0}


def test_the_page_is_whole_and_safe() -> None:
    page = influence_page("What <b> uses", {"<script>": 1.0}, {}, subtitle="on & on")
    assert page.startswith("<!doctype html>") and page.rstrip().endswith("</html>")
    assert "<script" not in page and "&lt;script&gt;" in page and "on &amp; on" in page
    assert "There is no axis that could be measured." in page
    assert "src=" not in page and "href=" not in page
