"""Freed memory stays in the process within the block, and not behind it."""

from __future__ import annotations

import pytest
import torch

from netsmith.data import freed_memory
from netsmith.data.freed_memory import freed_memory_kept

resource = pytest.importorskip("resource")
on_glibc = pytest.mark.skipif(freed_memory._glibc() is None, reason="another C library")


def faults_of_rounds(rounds: int) -> int:
    """Pages that the system had to give."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        three = [torch.ones(15 * 2**19) for _ in range(3)]  # 30 MB each: together more than is kept by default
        del three
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@on_glibc
def test_pages_are_asked_for_once() -> None:
    with freed_memory_kept():
        faults_of_rounds(20)
        inside = faults_of_rounds(10)
    outside = faults_of_rounds(10)
    assert 3 * inside < outside, (inside, outside)


@on_glibc
def test_the_outermost_block_counts_and_errors_pass_through() -> None:
    calls: list[tuple[int, int]] = []

    class Library:
        def mallopt(self, what: int, value: int) -> None:
            calls.append((what, value))

        def malloc_trim(self, _: int) -> None:
            calls.append((0, 0))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(freed_memory, "_glibc", Library)
        with pytest.raises(KeyError), freed_memory_kept(), freed_memory_kept():
            assert calls == [(-3, 2**25), (-1, 2**30)]
            raise KeyError
    assert calls[2:] == [(-1, 2**26), (0, 0)]
    assert freed_memory._inside == 0
