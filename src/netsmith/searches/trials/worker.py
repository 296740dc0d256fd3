"""The life of a worker process: it takes the work, then trials one by one, until told to stop or its parent is gone."""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing.connection import Connection, wait

import torch

from .attempt import attempt
from .parcel import unpack


def serve(pipe: Connection, threads: int) -> None:
    """Say ``"hello"``, receive the parcel, say ``"ready"`` or what is wrong with it, then answer specs with results."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    pipe.send("hello")
    try:
        work = unpack(pipe.recv_bytes())
    except Exception as error:  # the classes in it may do anything
        pipe.send(f"{type(error).__name__}: {error}")
        return
    pipe.send("ready")
    while (spec := pipe.recv()) is not None:
        pipe.send(attempt(work, spec))


def _end_with_parent() -> None:
    """A killed parent cannot stop its workers; a trial nobody waits for would go on for as long as it takes."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
