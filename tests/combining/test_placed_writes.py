"""Tensors written at their places by threads: order, checksums, and what happens when something raises."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from netsmith.combining.placed_writes import agrees, in_threads

CONTENT = [torch.arange(n, dtype=torch.int16) * 7 for n in (1000, 3, 0, 257)]


def pieces(number: int, worker: int) -> Iterator[Tensor]:
    yield from CONTENT[number].split(100)


def jobs() -> list[tuple[int, int]]:
    starts = [sum(t.nbytes for t in CONTENT[:n]) for n in range(len(CONTENT))]
    return list(zip(range(len(CONTENT)), starts, strict=True))


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_same_for_any_number_of_workers(tmp_path: Path, workers: int) -> None:
    file, told = tmp_path / "f", []
    file.touch()
    sums = in_threads(jobs(), pieces, file, workers, told.append)
    assert file.read_bytes() == b"".join(t.numpy().tobytes() for t in CONTENT)
    other = tmp_path / "g"
    other.touch()
    assert sums == in_threads(jobs(), pieces, other, 1, lambda job: None)
    assert sorted(told) == [0, 1, 2, 3]
    assert agrees(file, sums)


@pytest.mark.parametrize("at", [0, 1999, 2003, -1])
def test_a_changed_byte_and_another_length_are_seen(tmp_path: Path, at: int) -> None:
    file = tmp_path / "f"
    file.touch()
    sums = in_threads(jobs(), pieces, file, 2, lambda job: None)
    whole = bytearray(file.read_bytes())
    whole[at] ^= 1
    file.write_bytes(whole)
    assert not agrees(file, sums)
    whole[at] ^= 1
    file.write_bytes(whole + b"x")
    assert not agrees(file, sums)


def test_what_a_thread_raises_comes_out_and_no_thread_stays(tmp_path: Path) -> None:
    file, before = tmp_path / "f", threading.active_count()
    file.touch()

    def spoilt(number: int, worker: int) -> Iterator[Tensor]:
        yield torch.ones(1)
        if number == 1:
            raise ValueError("spoilt")
        while True:
            yield torch.ones(1)  # ends only when it is told to

    with pytest.raises(ValueError, match="spoilt"):
        in_threads(jobs(), spoilt, file, 3, lambda job: None)
    assert threading.active_count() == before


def test_an_interrupt_ends_the_threads(tmp_path: Path) -> None:
    file, before = tmp_path / "f", threading.active_count()
    file.touch()

    def endless(number: int, worker: int) -> Iterator[Tensor]:
        while number:
            yield torch.ones(1)

    def interrupt(number: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_threads(jobs(), endless, file, 2, interrupt)
    assert threading.active_count() == before
