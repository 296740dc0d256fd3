"""Trials kept in Optuna storages: found again, claimed by one, taken over from the dead."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from netsmith.errors import FileError, InputError
from netsmith.searches.trials import Store, digest, run_trials
from netsmith.searches.trials.attempt import Result
from trial_work import trials

pytest.importorskip("optuna")

KINDS = ["study.db", "study.journal"]
SPEC = {"x": 1}
KEY = digest(SPEC)


@pytest.fixture(params=KINDS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / request.param


def counted(ran: list[int]) -> Any:
    def work(spec: Mapping[str, Any]) -> dict[str, Any]:
        ran.append(spec["x"])
        return {"y": spec["x"] / 3, "worst": float("inf"), "sizes": (1, 2)}

    return work


def test_what_is_finished_is_found_again(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ran: list[int] = []
    first = run_trials(trials(3), counted(ran), store=Store(path, "a"))
    store = Store(path, "a")
    again = run_trials(trials(5)[::-1], counted(ran), store=store)
    assert ran == [0, 1, 2, 4, 3]
    assert again[:1:-1] == first
    assert [o.seconds for o in again[:1:-1]] == [o.seconds for o in first]
    assert again == run_trials(trials(5)[::-1], counted(ran))
    run_trials(trials(5), counted(ran), store=store)
    assert len(ran) == 10
    assert capfd.readouterr().err == ""


def test_another_study_in_the_same_file(path: Path) -> None:
    ran: list[int] = []
    for study in ("a", "b"):
        run_trials(trials(1), counted(ran), store=Store(path, study))
    assert ran == [0, 0]


def test_failures(path: Path) -> None:
    """What the work raised is kept; a trial whose workers died is tried anew by who opens the store later."""
    ran: list[int] = []

    def work(spec: Mapping[str, Any]) -> dict[str, Any]:
        ran.append(spec["x"])
        raise ValueError("no")

    for _ in range(2):
        (outcome,) = run_trials(trials(1), work, store=Store(path, "a"))
        assert outcome.error is not None and "no" in outcome.error
    assert ran == [0]
    store = Store(path, "a")
    store.look()
    assert store.claim(KEY, SPEC)
    store.finish(KEY, Result(None, 0.0, "killed", died=True))
    store.look()
    assert store.result(KEY) == Result(None, 0.0, "killed", died=True)
    later = Store(path, "a")
    later.look()
    assert later.result(KEY) is None
    assert later.claim(KEY, SPEC)
    later.finish(KEY, Result({"y": 1}, 2.0))
    later.look()
    assert later.result(KEY) == Result({"y": 1}, 2.0)


def test_a_trial_is_claimed_by_one(path: Path) -> None:
    stores = [Store(path, "a") for _ in range(3)]
    assert [store.claim(KEY, SPEC) for store in stores] == [True, False, False]
    stores[2].look()
    assert not stores[2].claim(KEY, SPEC) and stores[2].result(KEY) is None
    stores[0].finish(KEY, Result({"y": 1}, 2.0))
    assert not stores[1].claim(KEY, SPEC)
    stores[1].look()
    assert stores[1].result(KEY) == Result({"y": 1}, 2.0)


def test_claims_are_given_back_when_a_run_ends_early(path: Path) -> None:
    def interrupted(spec: Mapping[str, Any]) -> dict[str, Any]:
        if spec["x"] == 1:
            raise KeyboardInterrupt
        return {"y": spec["x"]}

    with pytest.raises(KeyboardInterrupt):
        run_trials(trials(3), interrupted, store=Store(path, "a"))
    ran: list[int] = []
    run_trials(trials(3), counted(ran), store=Store(path, "a"))
    assert ran == [1, 2]


def test_a_claim_lives_as_long_as_its_beat(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on another machine, where nobody can see whether the process is there."""
    monkeypatch.setattr("netsmith.searches.trials.store.this_process", dict)
    holder, other = (Store(path, "a", beat_seconds=0.05, dead_after=0.6) for _ in range(2))
    with holder:
        assert holder.claim(KEY, SPEC)
        end = time.monotonic() + 1.2
        while time.monotonic() < end:
            other.look()
            assert not other.claim(KEY, SPEC)
            time.sleep(0.05)
        holder._stop.set()  # as if the machine had gone
        while not other.claim(KEY, SPEC):
            other.look()
            time.sleep(0.05)
            assert time.monotonic() < end + 10
        holder.finish(KEY, Result({"y": 1}, 1.0))  # it was only slow
    other.look()
    assert other.result(KEY) is None
    other.finish(KEY, Result({"y": 1}, 2.0))
    other.look()
    assert other.result(KEY) == Result({"y": 1}, 2.0)


def test_a_process_that_is_known_to_be_gone_is_not_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(path, "a").claim(KEY, SPEC)
    other = Store(path, "a")
    other.look()
    assert not other.claim(KEY, SPEC)
    monkeypatch.setattr("netsmith.searches.trials.store.is_gone", lambda owner: bool(owner))
    other.look()
    assert other.claim(KEY, SPEC)


@pytest.mark.parametrize("content", [b"a letter to my sister\n" * 100, b'{"op_code": 99}\n', b"[[[\n", b"{}\n"])
def test_files_that_are_no_storage(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(FileError, match=rf"storage .*{path.name} cannot be used: .*\n.*move .* away to begin anew"):
        Store(path, "a")
    assert path.read_bytes() == content


def test_a_journal_whose_last_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    first = run_trials(trials(3), counted([]), store=Store(path, "a"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with pytest.raises(FileError, match="its last line is cut off or no JSON.\nRemove that line"):
        Store(path, "a")
    assert path.read_bytes() == whole[:-5]
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:-2]))
    ran: list[int] = []
    store = Store(path, "a", beat_seconds=0.05, dead_after=0.2)
    assert run_trials(trials(3), counted(ran), store=store) == first
    assert ran == [2]


def test_a_damaged_storage(path: Path) -> None:
    run_trials(trials(3), counted([]), store=Store(path, "a"))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(FileError, match="cannot be used"):
        run_trials(trials(3), counted([]), store=Store(path, "a"))


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("spec", '{"x": 7}', "its spec does not match its digest"),
        ("digest", "7", "its spec does not match its digest"),
        ("outcome", "7", "its outcome is no mapping"),
        ("outcome", '{"values": 7, "seconds": 1, "error": null, "died": false}', "its outcome is not one"),
        ("outcome", '{"values": {}, "seconds": "1", "error": null, "died": false}', "its outcome is not one"),
    ],
)
def test_a_storage_that_something_else_wrote_to(tmp_path: Path, attribute: str, value: str, message: str) -> None:
    path = tmp_path / "study.db"
    run_trials(trials(1), counted([]), store=Store(path, "a"))
    with sqlite3.connect(path) as database:
        database.execute("UPDATE trial_user_attributes SET value_json = ? WHERE key = ?", (value, attribute))
    with pytest.raises(FileError, match=f"trial 0 was changed by something else \\({message}"):
        run_trials(trials(1), counted([]), store=Store(path, "a"))


def test_bad_intervals(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="beat_seconds is 9, dead_after 9; give 0 <"):
        Store(tmp_path / "study.db", "a", beat_seconds=9, dead_after=9)
