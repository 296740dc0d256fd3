"""A study whose processes are killed, and one that two processes share at the same time."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import trial_work
from netsmith.searches.trials import Outcome, Store, run_trials

pytest.importorskip("optuna")


def study(storage: Path, log: Path, count: int, sleep: float, workers: int) -> subprocess.Popen[str]:
    command = [sys.executable, trial_work.__file__, *map(str, (storage, log, count, sleep, workers))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def ran(log: Path) -> Counter[int]:
    return Counter(map(int, log.read_text().split())) if log.exists() else Counter()


def wait_for(log: Path, count: int, *processes: subprocess.Popen[str]) -> None:
    while sum(ran(log).values()) < count:
        assert all(process.poll() is None for process in processes), [process.communicate() for process in processes]
        time.sleep(0.02)


def printed(process: subprocess.Popen[str]) -> str:
    out, fault = process.communicate(timeout=120)
    assert process.returncode == 0 and fault == "", fault
    return out


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for_the_end_of(group: int) -> None:
    deadline = time.monotonic() + 60
    while alive(group):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.05)


def resumed(storage: Path, log: Path, count: int) -> list[Outcome]:
    work = functools.partial(trial_work.written_down, log=str(log), sleep=0)
    store = Store(storage, "squares", beat_seconds=0.2, dead_after=2)
    return run_trials(trial_work.trials(count), work, store=store)


def test_a_killed_study_runs_only_what_is_missing(tmp_path: Path) -> None:
    storage, log = tmp_path / "study.db", tmp_path / "log"
    first = study(storage, log, 12, 0.5, 2)
    wait_for(log, 3, first)
    first.kill()  # and not its workers, which notice
    first.communicate()
    wait_for_the_end_of(first.pid)
    before = ran(log)
    assert max(before.values()) == 1 and len(before) < 12
    assert [o.values for o in resumed(storage, log, 12)] == [{"square": x * x} for x in range(12)]
    assert set(ran(log)) == set(range(12))
    assert sum(ran(log).values()) <= 14  # two may have been on their way


def test_ctrl_c(tmp_path: Path) -> None:
    storage, log = tmp_path / "study.db", tmp_path / "log"
    first = study(storage, log, 40, 0.3, 2)
    wait_for(log, 3, first)
    os.killpg(first.pid, signal.SIGINT)  # as a terminal does
    _, fault = first.communicate(timeout=60)
    assert fault.count("Traceback") == 1 and fault.rstrip().endswith("KeyboardInterrupt")
    wait_for_the_end_of(first.pid)
    finished = sum(ran(log).values())
    resumed(storage, log, 40)
    assert sum(ran(log).values()) - 40 <= min(2, finished)


def test_two_processes_divide_a_study(tmp_path: Path) -> None:
    storage, log = tmp_path / "study.journal", tmp_path / "log"
    both = [study(storage, log, 30, 0.1, 1) for _ in range(2)]
    assert [printed(each) for each in both] == [f"{[x * x for x in range(30)]}\n"] * 2
    assert ran(log) == Counter(range(30))


def test_one_of_two_is_killed(tmp_path: Path) -> None:
    storage, log = tmp_path / "study.db", tmp_path / "log"
    both = [study(storage, log, 16, 0.3, 1) for _ in range(2)]
    wait_for(log, 4, *both)
    both[0].kill()
    both[0].communicate()
    assert printed(both[1]) == f"{[x * x for x in range(16)]}\n"
    assert set(ran(log)) == set(range(16)) and sum(ran(log).values()) <= 17
