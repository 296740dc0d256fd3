"""What a piece of work takes: seconds, and memory beyond what was there when it began.

Memory is resident memory of the process, or what torch has allocated on the model's CUDA device. The system keeps the
highest value ever reached. Where the work raised it, that is exact; elsewhere the values sampled every few milliseconds
tell, and a shorter peak may go unseen.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

_PAUSE = 0.02  # seconds between samples
_PAGES = Path("/proc/self/statm")  # Linux


@dataclass
class Spent:
    """Filled in when the work ends.

    Attributes:
        seconds: wall time.
        peak_bytes: the largest growth of memory over the beginning; None where the system does not say.
    """

    seconds: float = 0.0
    peak_bytes: int | None = None

    def __str__(self) -> str:
        memory = "" if self.peak_bytes is None else f", {self.peak_bytes / 1e6:,.0f} MB of memory"
        return f"{self.seconds:,.1f} s{memory}"


@contextmanager
def spending(device: torch.device | None = None) -> Iterator[Spent]:
    """Measure what the block takes.

    Args:
        device: that the work is done on; None: the processor.

    Example:
        >>> with spending() as spent:
        ...     pass
        >>> spent.seconds < 60
        True
    """
    now, highest = _on_cuda(device) if device is not None and device.type == "cuda" else (_resident, _highest)
    spent, begun, told = Spent(), time.perf_counter(), sys.platform != "win32"
    first, reached = now(), highest()
    most, stop = first, threading.Event()

    def watch() -> None:
        nonlocal most
        while not stop.wait(_PAUSE):
            most = max(most, now())

    watcher = threading.Thread(target=watch, name="netsmith-memory", daemon=True)
    watcher.start()
    try:
        yield spent
    finally:
        stop.set()
        watcher.join()
        last = highest()
        if told:
            spent.peak_bytes = max(most, now(), last if last > reached else 0) - first
        spent.seconds = time.perf_counter() - begun


def _on_cuda(device: torch.device) -> tuple[Callable[[], int], Callable[[], int]]:
    return lambda: torch.cuda.memory_allocated(device), lambda: torch.cuda.max_memory_allocated(device)


def _resident() -> int:
    """Bytes; where the system tells only the highest so far, that."""
    if _PAGES.is_file():
        return int(_PAGES.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return _highest()


def _highest() -> int:
    """Bytes that were resident at most since the process began; 0 where the system does not tell."""
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
