"""``run.json`` is read back as it was written; anything else is refused with its field."""

from __future__ import annotations

import json

import pytest

from netsmith.errors import FileError
from netsmith.reports.record import RUN, CostRecord, RunRecord, StepRecord, read_run, write_run

A_RUN = RunRecord(
    title="a run",
    model="netsmith.zoo:digits_resnet",
    date="2026-11-22",
    steps=(StepRecord(name="original", kind="load", cost=CostRecord(params=3, macs=4, bytes=12), scores={"f1": 0.5}),),
)


def test_what_was_written_is_read_back(tmp_path):
    write_run(tmp_path, A_RUN)
    assert read_run(tmp_path) == A_RUN


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "version"),
        ({"more": 1}, "more"),
        ({"steps": [{"name": "x"}]}, "steps.0.kind"),
        ({"steps": [{"name": "x", "kind": "cut", "seconds": float("nan")}]}, "steps.0.seconds"),
    ],
)
def test_a_foreign_record_is_refused(tmp_path, change, said):
    record = {**A_RUN.model_dump(mode="json"), **change}
    (tmp_path / RUN).write_text(json.dumps(record))
    with pytest.raises(FileError, match=said):
        read_run(tmp_path)


def test_a_folder_without_one_is_refused(tmp_path):
    with pytest.raises(FileError, match="has no run.json"):
        read_run(tmp_path)


def test_deep_nesting_is_refused(tmp_path):
    (tmp_path / RUN).write_text("[" * 100_000)
    with pytest.raises(FileError, match="cannot be read"):
        read_run(tmp_path)
