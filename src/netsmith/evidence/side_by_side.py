"""Batches worked on side by side, each by one thread.

A small convolution is too little work to be shared among threads; whole batches are not. With as many batches as
threads, or more, each is computed by one thread whatever their number, so results do not depend on it.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
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

    def begin() -> None:
        torch.set_num_threads(threads // workers)  # the setting belongs to a thread

    def call(item: Item, context: contextvars.Context) -> Result:
        with torch.set_grad_enabled(grad):
            return context.run(function, item)

    with transparent_functional():  # it patches modules: those that open and close it in the threads must find it open
        with ThreadPoolExecutor(workers, "batches", begin) as pool:
            waiting = [pool.submit(call, item, contextvars.copy_context()) for item in todo]
            return [one.result() for one in waiting]


def at_once(device: torch.device | None = None) -> int:
    """How many calls of ``each`` run at the same time, at most."""
    return torch.get_num_threads() if device is None or device.type == "cpu" else 1
