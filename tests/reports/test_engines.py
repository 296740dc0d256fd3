"""What the table of engines and its notes say."""

from __future__ import annotations

from rich.console import Console

from netsmith.costs import Cost, Timing
from netsmith.reports import engine_notes, engines_json, engines_table

TIMINGS = [
    Timing("original", "eager", "fp32", 10.0, 0.0),
    Timing("original", "openvino", "int8", 2.0, 0.2),
    Timing("original", "openvino", "bf16", 3.0, 0.01),
    Timing("small", "eager", "fp32", 9.9, 0.0),
    Timing("small", "openvino", "int8", None, None, "nncf is absent"),
    Timing("small", "openvino", "bf16", 1.5, 0.01),
]
COSTS = {"original": Cost(10, 100, 40), "small": Cost(5, 50, 20)}


def test_the_table_has_models_side_by_side() -> None:
    console = Console(record=True, width=120, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(engines_table(TIMINGS, title="net [x]"))
    text = console.export_text()
    assert "net [x]" in text and "original, ms" in text and "small, ms" in text
    (row,) = [line for line in text.splitlines() if "int8" in line]
    assert "2.00" in row and "2.0e-01" in row and "–" in row and "nncf is absent" in row


def test_the_fastest_and_a_warning_where_time_did_not_follow() -> None:
    notes = engine_notes(TIMINGS, COSTS)
    assert notes[0] == "fastest for original: openvino in bf16, 3.00 ms, outputs within 1.0e-02 of the largest"
    assert "openvino in int8 takes 2.00 ms for original, but its outputs differ by 2.0e-01" in notes[1]
    assert notes[-1].startswith("small has 50% of the MACs of original, and is no faster under eager fp32 (99% of")
    assert "bf16 (" not in notes[-1]


def test_no_warning_where_macs_are_as_before() -> None:
    same = {"original": COSTS["original"], "small": COSTS["original"]}
    assert not [note for note in engine_notes(TIMINGS, same) if "no faster" in note]


def test_json() -> None:
    told = engines_json(TIMINGS, COSTS)
    assert told["fastest"]["original"]["precision"] == "bf16" and len(told["timings"]) == 6
    assert told["notes"] == engine_notes(TIMINGS, COSTS)
