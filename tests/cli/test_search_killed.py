"""``netsmith search --workers``: a worker is killed, then the whole command; started again it finds the same front."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from netsmith.cli import app

FILE = """
import time

import torch
from torch import nn


class Slow(list):
    def __iter__(self):
        time.sleep(0.05)
        return super().__iter__()


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3)), (2, 4)


def batches():
    g = torch.Generator().manual_seed(0)
    return [(torch.randn(16, 4, generator=g), torch.randint(0, 3, (16,), generator=g)) for _ in range(5)]


def labelled():
    return Slow(batches())
"""
SEARCH = ["search", "plain.py:model", "--data", "plain.py:batches", "--eval", "plain.py:labelled"]
SEARCH += ["--budget", "macs=60%", "--budget", "macs=30%", "--strategy", "random", "--trials", "10", "--finalists", "1"]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds worker processes in /proc")
def test_a_killed_worker_and_a_killed_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plain.py").write_text(FILE)
    undisturbed = CliRunner().invoke(app, [*SEARCH, "--out", "alone", "--json"])
    assert undisturbed.exit_code == 0, undisturbed.output

    command = [sys.executable, "-m", "netsmith", *SEARCH, "--workers", "2", "--out", "found"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as running:
        first = until(lambda: finished(1) and workers(running.pid))
        os.kill(first[0], signal.SIGKILL)
        until(lambda: set(workers(running.pid)) - set(first))  # another has taken its place
        done = until(lambda: finished(3))
        running.kill()
    assert running.returncode == -signal.SIGKILL and not Path("found/run.json").exists()

    again = CliRunner().invoke(app, [*SEARCH, "--out", "found", "--resume", "--json"])
    assert again.exit_code == 0, again.output
    assert told("found", again.stdout) == told("alone", undisturbed.stdout)
    assert finished(0) > done


def until(true: Callable[[], Any], seconds: float = 120) -> Any:
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)
    return found


def finished(least: int) -> int:
    """How many trials have an outcome; 0 while there are fewer than that."""
    try:
        with sqlite3.connect("file:found/trials.db?mode=ro", uri=True) as database:
            (count,) = database.execute("SELECT COUNT(*) FROM trials WHERE state = 'COMPLETE'").fetchone()
    except sqlite3.OperationalError:  # not there yet, or being written
        return 0
    return int(count) if count >= least else 0


def workers(parent: int) -> list[int]:
    children = [child for each in Path(f"/proc/{parent}/task").glob("*/children") for child in each.read_text().split()]
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def told(folder: str, stdout: str) -> Any:
    """The front as the command tells it, and every candidate, without times."""
    candidates = json.loads(Path(folder, "candidates.json").read_text())
    front = json.loads(stdout)["front"]
    kept = [{k: v for k, v in each.items() if k != "seconds"} for each in candidates]
    return kept, [{k: v for k, v in point.items() if k not in ("folder", "latency_ms")} for point in front]
