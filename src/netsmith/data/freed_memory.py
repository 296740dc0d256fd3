"""Keeps freed memory in the process while work goes on that asks for the same amounts again and again.

By default the C library of Linux gives large blocks back to the system as soon as they are free, and every new one is
mapped and cleared page by page: repairing a ResNet-56 took a third longer by that, on two threads.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of mallopt(3)
_LARGEST = 32 * 2**20  # of the blocks that are kept: the most that mallopt takes
_KEPT = 2**30  # bytes
_lock = threading.Lock()
_inside = 0


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Within the block up to 1 GiB that was freed stays in the process; behind it all goes back to the system.

    Can be nested, and used by several threads. Changes nothing with other C libraries than glibc. Its limits cannot be
    read: afterwards they are what they would be by themselves once a block of 32 MiB had been freed, and latency is
    nearest there to that in a fresh process. So nothing that is timed for the user belongs into the block.

    Example:
        >>> with freed_memory_kept():
        ...     pass
    """
    global _inside
    library = _glibc()
    with _lock:
        _inside += 1
        if library and _inside == 1:
            library.mallopt(_MMAP_THRESHOLD, _LARGEST)
            library.mallopt(_TRIM_THRESHOLD, _KEPT)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if library and not _inside:
                library.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST)
                library.malloc_trim(0)


@functools.cache
def _glibc() -> Any:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
