"""Writes tensors at their places in one file, in several threads, with a checksum of each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

import torch
from torch import Tensor

Job = TypeVar("Job")
Sum = tuple[int, int, int]
"""(bytes, bytes of every piece but the last, checksum) of one stretch of a file."""


def in_threads(
    jobs: Sequence[tuple[Job, int]],
    pieces: Callable[[Job, int], Iterator[Tensor]],
    file: Path,
    workers: int,
    done: Callable[[Job], None],
) -> list[Sum]:
    """Write what jobs yield into a file that is there, each job from its offset on.

    When anything raises, an interrupt included, the threads stop after the piece at hand, and are gone when the
    exception leaves.

    Args:
        jobs: (job, offset in bytes).
        pieces: (job, number of the worker from 0) -> flat tensors, in order, all but the last of one size.
        workers: how many threads, ≥ 1.
        done: called in the caller's thread after every job, in the order in which they end.

    Returns:
        Of each job, in the order of ``jobs``; the same for any number of workers.
    """
    stop, free = threading.Event(), SimpleQueue[int]()
    for number in range(workers):
        free.put(number)

    def run(job: Job, offset: int) -> Sum:
        worker = free.get()
        try:
            return _written(file, offset, pieces(job, worker), stop)
        finally:
            free.put(worker)

    with ThreadPoolExecutor(workers, thread_name_prefix="merging") as pool:
        try:
            running = {pool.submit(run, job, offset): job for job, offset in jobs}
            for future in as_completed(running):
                future.result()
                done(running[future])
            return [future.result() for future in running]
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _written(file: Path, offset: int, pieces: Iterator[Tensor], stop: threading.Event) -> Sum:
    size, step, total = 0, 0, 0
    with file.open("r+b", buffering=0) as stream:
        stream.seek(offset)
        for piece in pieces:
            if stop.is_set():
                break
            if not len(piece):
                continue
            content = piece.contiguous().view(torch.uint8)
            view = content.numpy().data
            while view:
                view = view[stream.write(view) or 0 :]
            size, step, total = size + len(content), step or len(content), added(total, content)
    return size, step, total


def added(total: int, content: Tensor) -> int:
    """The checksum with one more piece of bytes. Not CRC-32, which takes as long as merging does."""
    whole = len(content) // 8 * 8
    words = int(content[:whole].view(torch.int64).sum()) + int(content[whole:].sum())
    return (total * 1_000_003 + words + 1) % (1 << 61)


def agrees(file: Path, sums: Sequence[Sum]) -> bool:
    """Whether a file is these stretches, one after the other, and nothing more."""
    if file.stat().st_size != sum(size for size, _, _ in sums):
        return False
    with file.open("rb", buffering=0) as stream:
        for size, step, expected in sums:
            block, total, left = torch.empty(min(max(step, 1), size), dtype=torch.uint8), 0, size
            while left:
                filled, view = 0, block[:left].numpy().data
                while filled < len(view):
                    count = stream.readinto(view[filled:])
                    if not count:
                        return False
                    filled += count
                total, left = added(total, block[:filled]), left - filled
            if total != expected:
                return False
    return True
