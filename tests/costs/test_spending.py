"""What work took: the memory that it filled is seen, that which was there before is not."""

from __future__ import annotations

import sys
import time

import pytest
import torch

from netsmith.costs.spending import Spent, spending

told = pytest.mark.skipif(sys.platform == "win32", reason="the system does not tell")


@told
def test_memory_that_is_filled_and_given_back_is_seen() -> None:
    with spending() as spent:
        filled = torch.ones(40 * 2**20)  # 160 MB
        time.sleep(0.5)  # a process that was larger before is sampled: a shorter peak could go unseen
        del filled
    assert spent.peak_bytes is not None and 150e6 < spent.peak_bytes < 400e6


@told
def test_what_was_there_before_does_not_count() -> None:
    there = torch.ones(40 * 2**20)
    with spending() as spent:
        there += 1
    assert spent.peak_bytes is not None and 0 <= spent.peak_bytes < 50e6


def test_an_error_in_the_work_passes_through() -> None:
    with pytest.raises(KeyError), spending() as spent:
        raise KeyError
    assert spent.seconds > 0


def test_words() -> None:
    assert str(Spent(12.34, 512_000_000)) == "12.3 s, 512 MB of memory"
    assert str(Spent(12.34)) == "12.3 s"
