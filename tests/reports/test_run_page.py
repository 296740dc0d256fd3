"""The page of a run: whole, offline, true to its record, and safe with any name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from html_pages import Page
from netsmith.errors import FileError
from netsmith.reports.record import EngineRecord, write_run
from netsmith.reports.run_page import given, run_page, run_report
from run_records import full_run, hostile_run, small_run


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(run_page(full_run()))


def test_every_section_is_there_and_every_link_leads_to_one(page: Page) -> None:
    assert page.headings[:1] == ["A network, searched"]
    for heading in (
        "What was asked",
        "Step by step",
        "Accuracy against MACs",
        "Width and depth, before and after",
        "Blocks",
        "Class by class",
        "Latency, predicted and measured",
        "Engines",
        "What stayed as it is, and why",
        "Is it true?",
        "Do it again",
    ):
        assert heading in page.headings
    assert len(page.links) == 11
    assert all(link.removeprefix("#") in page.ids for link in page.links)
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.parametrize(
    "row",
    [
        ["original", "2,000", "1,000,000", "8,000", "2.00 ms", "0.9500", "0.0 s"],
        ["small", "prune", "1,000", "50%", "500,000", "50%", "4,000", "50%", "1.10 ms", "55%", "0.9400", "4.0 s"],
        ["budget", '{"macs": 0.5}'],
        ["small", '{"keep": 0.5}'],
        ["evolution-0", "evolution", "1,000", "500,000", "–", "0.9400", "chosen, front, healed", "plans/0.json"],
        ["random-0", "random", "1,800", "900,000", "–", "–", "rejected: too dear"],
        ["stage1.1.conv1.weight:0", "16", "24", "150%"],
        ["copy of stage1.1.conv1.weight:0", "0", "24", "new"],
        ["stage1.0", "removed", "0.01", "0.5"],
        ["dog", "8", "1", "1"],
        ["dog", "0.9000", "0.9000", "+0.0000"],
        ["small", "1.000", "1.100", "-9.1%"],
        ["onnxruntime", "fp32", "8", "1.00", "0.60", "60%", "–", "recommended"],
        ["compile", "int8", "8", "–", "–", "–", "–", "torchao is absent"],
        ["stage1.0", "its twin did not run"],
        ["read by position", "1", "embedding.weight:0"],
        ["outputs", "exact", "largest difference 1e-7", "small"],
        ["processor", "a processor"],
    ],
)
def test_the_tables_say_what_the_record_says(page: Page, row: list[str]) -> None:
    assert row in page.rows


def test_the_result_is_one_sentence_in_figures(page: Page) -> None:
    assert (
        "4 structures were tried, and 2 of them stand on the front; evolution-0 was chosen; 50% of the "
        "multiply-accumulates (1.00 M → 500 k), 50% of the parameters (2.00 k → 1.00 k) and 50% of the bytes "
        "(8.00 k → 4.00 k), and a call takes 1.10 ms (before: 2.00 ms); accuracy is 0.9400 (before: 0.9500, -0.0100); "
        "it is fastest here with onnxruntime in fp32 (0.60 ms for 8 examples); every promise that verify checked holds."
    ) in page.text.replace("\u00a0", " ")


def test_commands_and_sentences_of_steps(page: Page) -> None:
    assert "netsmith search netsmith.zoo:digits_resnet --out out/a\nnetsmith report out/a" in page.text
    assert "small: 12 units were removed" in page.text
    assert "Not drawn: 1 of 4 candidates, which have no accuracy." in page.text
    assert "Use onnxruntime in fp32: 0.60 ms" in page.text


def test_where_structure_shrank_and_time_did_not_the_page_says_so() -> None:
    run = full_run()
    assert "no faster" not in Page(run_page(run)).text
    rows = (EngineRecord(engine="eager", precision="bf16", batch=8, original_ms=1.0, result_ms=1.02), *run.engines)
    said = Page(run_page(run.model_copy(update={"engines": rows}))).text
    assert (
        "The result has 50% of the MACs of the original, and is no faster under eager bf16 (102% of the time)" in said
    )


def test_it_opens_offline_and_is_made_again_to_the_letter(page: Page) -> None:
    html = run_page(full_run())
    assert html == run_page(full_run())
    assert page.fetched == []
    assert not re.search(r"<script[^>]+src=|@import|url\(\s*['\"]?(?!#)http", html)
    assert html.count("Plotly.newPlot(") == 1


def test_sections_without_data_are_left_out() -> None:
    html = run_page(small_run())
    page = Page(html)
    assert page.headings == ["Nothing but cost", "Step by step", "Accuracy against MACs"]
    assert "Nothing was scored" in page.text
    assert "nothing was verified" in page.text
    assert len(html) < 20_000
    assert "Plotly.newPlot" not in html


def test_a_failed_check_is_said_first() -> None:
    assert "verify found that the result BREAKS its promise" in run_page(hostile_run("x"))


@pytest.mark.parametrize(
    "evil",
    ["<script>alert(1)</script>", "'\"><img src=x onerror=alert(1)>", "</style><b>alert(1)", "%{x}&amp;alert(1)"],
)
def test_every_name_is_escaped(evil: str) -> None:
    html = run_page(hostile_run(evil))
    page = Page(html)
    assert page.fetched == []
    assert html.count("alert(1)") > 25
    for piece in ("<script>alert", "<img", "<b>alert"):
        assert piece not in html
    assert evil in page.text


def test_time_that_did_not_follow_is_said() -> None:
    run = full_run()
    slow = run.steps[1].model_copy(update={"cost": run.steps[1].cost.model_copy(update={"latency_ms": 2.1})})
    html = run_page(run.model_copy(update={"steps": (run.steps[0], slow)}))
    assert "MACs fell to 50% of the original, but measured time is at 105%" in html


def test_the_report_of_a_folder(tmp_path: Path) -> None:
    write_run(tmp_path, small_run())
    path = run_report(tmp_path)
    assert path == tmp_path / "report.html"
    assert path.read_text(encoding="utf-8") == run_page(small_run())
    run_report(tmp_path)  # its own page is replaced
    path.write_text("my diary")
    with pytest.raises(FileError, match="was not written by netsmith; give another path"):
        run_report(tmp_path)
    assert path.read_text() == "my diary"
    with pytest.raises(FileError, match="has no run.json"):
        run_report(tmp_path / "elsewhere")


def test_options_that_say_nothing_are_left_out() -> None:
    options = {"budget": {"macs": 0.5, "params": None}, "ignore": [], "heal": None, "seed": 0, "maps": False}
    assert given(options) == {"budget": {"macs": 0.5}, "seed": 0, "maps": False}
