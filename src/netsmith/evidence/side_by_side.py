"""Batches worked on side by side, each by one thread.

A small convolution is too little work to be shared among threads; whole batches are not. With as many batches as
threads, or more, each is computed by one thread whatever their number, so results do not depend on it.
"""

from __future__ import annotations

import contextvars
import functools
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

from ..wiring.capture import transparent_functional

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(function: Callable[[Item], Result], items: Iterable[Item], device: torch.device | None = None) -> list[Result]:
    """``[function(item) for item in items]``, on as many threads as torch may use; on other devices than the processor
    in this one.

    The function runs as it would here: gradients on or off, and context variables as they are. Function modes do not
    reach it.

    Args:
        function: may be called by several threads at once.
        items: one for each call.
        device: that the work is done on.
    """
    todo, threads = list(items), at_once(device)
    if threads < 2 or len(todo) < 2:
        return [function(item) for item in todo]
    workers, grad = min(threads, len(todo)), torch.is_grad_enabled()

    def call(item: Item, context: contextvars.Context) -> Result:
        with torch.set_grad_enabled(grad):
            return context.run(function, item)

    with transparent_functional():  # it patches modules: those that open and close it in the threads must find it open
        pool, waiting = _pool(workers, threads // workers), []
        try:
            for item in todo:
                waiting.append(pool.submit(call, item, contextvars.copy_context()))
            return [one.result() for one in waiting]
        finally:
            for one in waiting:
                one.cancel()
            wait(waiting)
            torch.set_num_threads(threads)  # also what threads to come begin with, which the workers' setting changed


@functools.cache
def _pool(workers: int, threads: int) -> ThreadPoolExecutor:
    """Kept: to start threads takes milliseconds, often longer than the work."""

    def begin() -> None:
        torch.get_num_threads()  # a thread's first look at the setting takes over that of others
        torch.set_num_threads(threads)

    return ThreadPoolExecutor(workers, "batches", begin)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not go along


def at_once(device: torch.device | None = None) -> int:
    """How many calls of ``each`` run at the same time, at most."""
    return torch.get_num_threads() if device is None or device.type == "cpu" else 1
