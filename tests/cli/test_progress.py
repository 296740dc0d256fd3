"""Progress on stderr."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from netsmith.cli.progress import stages

WORK = """
from netsmith.cli.progress import stages
with stages({"a": "first [things]"}) as tell:
    tell("a", 0, 3)
    tell("a", 1, 3, "loss 0.5")
    tell("b", 0, 1)
"""


def test_without_a_terminal_there_is_one_line_a_stage(capsys: pytest.CaptureFixture[str]) -> None:
    with stages({"a": "first [things]"}) as tell:
        tell("a", 0, 3)
        tell("a", 1, 3, "loss 0.5")
        tell("b", 0, 1)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "first [things] …\nb …\n"


def test_on_a_terminal_every_stage_ends_full() -> None:
    leader, follower = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run([sys.executable, "-c", WORK], stderr=follower, stdout=subprocess.PIPE, env=env, timeout=60)
    os.close(follower)
    shown = os.read(leader, 100_000).decode()
    os.close(leader)
    assert (done.returncode, done.stdout) == (0, b"")
    assert "first [things]" in shown
    # The last picture of both bars is of full length: 24 characters.
    assert shown.count("━" * 24) >= 2


def test_an_error_passes_through() -> None:
    with pytest.raises(ZeroDivisionError), stages({}) as tell:
        tell("a", 0, 1)
        raise ZeroDivisionError
