"""Holds Python's garbage collector back while a model is read or copied."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def no_collections() -> Iterator[None]:
    """Thousands of small objects that live on: collections would walk the whole program's heap, again and again.

    With a large library imported that is half the time. Usable as a decorator. Nests.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
