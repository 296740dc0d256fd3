"""Batches on several threads: the same results in the same order, and the caller's context."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest
import torch

from netsmith.evidence.products import computed, products_in
from netsmith.evidence.side_by_side import each


def test_results_come_in_the_order_of_the_items_and_do_not_depend_on_threads(threads: int) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(8, 8, 3, 3, generator=generator)
    xs = [torch.randn(4, 8, 9, 9, generator=generator) for _ in range(7)]
    found = each(lambda x: torch.conv2d(x, weight), xs)
    torch.set_num_threads(1)
    assert all(torch.equal(a, torch.conv2d(x, weight)) for a, x in zip(found, xs, strict=True))


def test_each_thread_has_its_share_of_the_threads(threads: int) -> None:
    together = threading.Barrier(threads)

    def told(_: int) -> tuple[int, int]:
        together.wait(10)  # so that all work at once
        return threading.get_ident(), torch.get_num_threads()

    found = each(told, range(threads))
    assert len({ident for ident, _ in found}) == threads and {n for _, n in found} == {1}
    assert torch.get_num_threads() == threads
    new: list[int] = []
    other = threading.Thread(target=lambda: new.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert new == [threads], "threads begin as they would have without"


def test_gradients_and_context_are_those_of_the_caller(threads: int) -> None:
    x = torch.full((2, 2), 1.001)
    with torch.no_grad():
        assert each(lambda _: torch.is_grad_enabled(), range(4)) == [False] * 4
    assert each(lambda _: torch.is_grad_enabled(), range(4)) == [True] * 4
    with products_in("bf16"):
        rounded = each(lambda _: computed(torch.nn.functional.linear, (x, x), {}), range(4))
    assert all(torch.equal(r, torch.full((2, 2), 2.0)) for r in rounded)


def test_the_first_error_is_raised(threads: int) -> None:
    with pytest.raises(ValueError, match="three"):
        each(lambda n: n if n != 3 else _fail(), range(6))


def _fail() -> int:
    raise ValueError("three")


def test_what_waits_is_not_begun_after_an_error(threads: int) -> None:
    begun: list[int] = []

    def run(n: int) -> None:
        begun.append(n)
        time.sleep(0.05)
        if n == 0:
            _fail()

    with pytest.raises(ValueError, match="three"):
        each(run, range(50))
    assert len(begun) < 10
    ended = list(begun)
    time.sleep(0.2)
    assert begun == ended


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_has_threads_of_its_own() -> None:
    script = """
import os, torch
from netsmith.evidence.side_by_side import each
torch.set_num_threads(2)
assert each(abs, [-1, -2]) == [1, 2]
child = os.fork()
if not child:
    os._exit(7 if each(abs, [-3, -4]) == [3, 4] else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
