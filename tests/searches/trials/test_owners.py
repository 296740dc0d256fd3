"""Whether a process is known to be gone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from netsmith.searches.trials.owners import _started, is_gone, this_process

pytestmark = pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="no Linux /proc")


def test_a_process_that_lives_and_one_that_ended() -> None:
    mine = this_process()
    assert mine == this_process() and not is_gone(mine)
    with subprocess.Popen(["sleep", "60"]) as child:
        theirs = {**mine, "pid": str(child.pid), "started": _started(str(child.pid))}
        assert not is_gone(theirs)
        child.kill()
        child.wait()
    assert is_gone(theirs)


def test_a_number_that_was_given_to_another_process() -> None:
    assert is_gone({**this_process(), "started": "1"})


@pytest.mark.parametrize("change", [{"boot": "another machine"}, {"processes": "another container"}, {"pid": "../1"}])
def test_nothing_is_known_of_others(change: dict[str, str]) -> None:
    assert not is_gone({**this_process(), "started": "1", **change})
    assert not is_gone({})
