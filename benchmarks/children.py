"""Runs a piece of work in a forked child process, so that imports are shared and limits can be kept."""

from __future__ import annotations

import json
import os
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

Tell = Callable[[dict[str, Any]], None]


def in_child(work: Callable[[Tell], dict[str, Any]], seconds: float, gigabytes: float) -> dict[str, Any]:
    """What ``work`` returns, with ``wall_seconds``; killed when it exceeds a limit.

    ``work`` gets a function that leaves a note (a dict); the last note is what is known of a child that dies, and it
    then gets ``ok=False`` and the reason.
    """
    reader, writer = os.pipe()
    start = time.time()
    child = os.fork()
    if child == 0:
        os.close(reader)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)

        def tell(note: dict[str, Any]) -> None:
            os.write(writer, (json.dumps(note) + "\n").encode())

        try:
            tell(work(tell))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writer)
    reason, lines = _watch(child, reader, start, seconds, gigabytes)
    record = lines[-1] if lines else {}
    if "ok" not in record:
        record = {**record, "ok": False, "reason": reason or "the process died"}
    return {**record, "wall_seconds": round(time.time() - start, 2)}


def _watch(child: int, reader: int, start: float, seconds: float, gigabytes: float) -> tuple[str | None, list[Any]]:
    """(the limit that was exceeded, notes). Reads while waiting: a full pipe would hold the child up."""
    page, reason, text = os.sysconf("SC_PAGE_SIZE"), None, b""
    os.set_blocking(reader, False)
    while True:
        ended = os.waitpid(child, os.WNOHANG)[0] != 0
        try:
            while piece := os.read(reader, 65536):
                text += piece
        except BlockingIOError:
            pass
        if ended:
            break
        try:
            resident = int(Path(f"/proc/{child}/statm").read_text().split()[1]) * page / 2**30
        except (OSError, IndexError):
            resident = 0.0
        if time.time() - start > seconds:
            reason = f"over {seconds:g} s"
        elif resident > gigabytes:
            reason = f"over {gigabytes:g} GB"
        if reason:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            break
        time.sleep(0.02)
    os.close(reader)
    return reason, [json.loads(line) for line in text.splitlines() if line.endswith(b"}")]
