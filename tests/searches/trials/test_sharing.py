"""A study whose processes are killed, and one that two processes share at the same time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import trial_work

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


def test_a_killed_study_runs_only_what_is_missing(tmp_path: Path) -> None:
    storage, log = tmp_path / "study.db", tmp_path / "log"
    first = study(storage, log, 8, 0.5, 2)
    wait_for(log, 3, first)
    first.kill()  # and not its workers, which notice
    first.communicate()
    deadline = time.monotonic() + 20
    while alive(first.pid):
        assert time.monotonic() < deadline, "the workers outlive their parent"
        time.sleep(0.05)
    before = ran(log)
    assert max(before.values()) == 1 and len(before) < 8
    assert printed(study(storage, log, 8, 0.0, 1)) == f"{[x * x for x in range(8)]}\n"
    twice = {x for x, times in ran(log).items() if times > 1}
    assert len(ran(log)) == 8 and max(ran(log).values()) <= 2
    assert len(twice) <= 2  # those whose result was on its way


@pytest.mark.parametrize("kind", ["study.journal", "study.db"])
def test_two_processes_divide_a_study(tmp_path: Path, kind: str) -> None:
    storage, log = tmp_path / kind, tmp_path / "log"
    both = [study(storage, log, 30, 0.1, 1) for _ in range(2)]
    assert [printed(each) for each in both] == [f"{[x * x for x in range(30)]}\n"] * 2
    assert ran(log) == Counter(range(30))


def test_one_of_two_is_killed(tmp_path: Path) -> None:
    storage, log = tmp_path / "study.journal", tmp_path / "log"
    both = [study(storage, log, 12, 0.3, 1) for _ in range(2)]
    wait_for(log, 4, *both)
    both[0].kill()
    both[0].communicate()
    assert printed(both[1]) == f"{[x * x for x in range(12)]}\n"
    assert set(ran(log)) == set(range(12)) and sum(ran(log).values()) <= 13


def test_ctrl_c(tmp_path: Path) -> None:
    storage, log = tmp_path / "study.db", tmp_path / "log"
    first = study(storage, log, 40, 0.3, 2)
    wait_for(log, 3, first)
    os.killpg(first.pid, signal.SIGINT)  # as a terminal does
    _, fault = first.communicate(timeout=20)
    assert fault.count("Traceback") == 1 and fault.rstrip().endswith("KeyboardInterrupt")
    assert not alive(first.pid)
    finished = set(ran(log))
    printed(study(storage, log, 5, 0.0, 1))
    again = [x for x, times in ran(log).items() if times > 1 and x in finished]
    assert len(again) <= 2
