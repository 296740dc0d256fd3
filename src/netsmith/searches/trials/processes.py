"""Worker processes on this machine. One that dies is replaced, and its trial goes to another."""

from __future__ import annotations

import multiprocessing
import signal
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

import torch

from ...errors import InputError, NetsmithError
from .attempt import Result
from .parcel import pack
from .trial import Work
from .worker import serve

_STILLBORN = 3  # workers in a row that may die before they are ready


@dataclass(eq=False)
class _Worker:
    process: SpawnProcess
    pipe: Connection
    ready: bool = False
    key: str | None = None  # of its trial


class Processes:
    """Started afresh ("spawn"), so that they share nothing with this process; torch's threads are divided by them."""

    def __init__(self, work: Work, workers: int, retries: int):
        self.slots, self._retries = workers, retries
        self._parcel = pack(work)
        self._threads = max(1, torch.get_num_threads() // workers)
        self._workers: list[_Worker] = []
        self._specs: dict[str, Mapping[str, Any]] = {}
        self._queue: deque[str] = deque()
        self._deaths: Counter[str] = Counter()
        self._stillborn = 0

    def start(self, key: str, spec: Mapping[str, Any]) -> None:
        self._specs[key] = dict(spec)
        self._queue.append(key)
        self._hand_out()

    def finished(self, timeout: float) -> list[tuple[str, Result]]:
        by_pipe = {worker.pipe: worker for worker in self._workers}
        done = [self._hear(by_pipe[pipe]) for pipe in wait(list(by_pipe), timeout)]  # type: ignore[index]
        self._hand_out()
        return [each for each in done if each is not None]

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *fault: object) -> None:
        for worker in self._workers:
            worker.process.kill()  # it holds nothing that anybody needs
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()

    def _hand_out(self) -> None:
        for worker in [w for w in self._workers if w.ready and w.key is None]:
            if self._queue:
                worker.key = self._queue.popleft()
                _send(worker, self._specs[worker.key])
        starting = sum(not worker.ready for worker in self._workers)
        for _ in range(min(len(self._queue) - starting, self.slots - len(self._workers))):
            self._hire()

    def _hire(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, self._threads))
        with _deaf_to_ctrl_c():
            process.start()
        theirs.close()  # else its end would not be seen
        self._workers.append(_Worker(process, ours))

    def _hear(self, worker: _Worker) -> tuple[str, Result] | None:
        try:
            message = worker.pipe.recv()
        except (EOFError, OSError):
            return self._bury(worker)
        if isinstance(message, Result):
            key, worker.key = worker.key or "", None
            return key, message
        if message == "hello":
            _send(worker, self._parcel)
        elif message == "ready":
            worker.ready, self._stillborn = True, 0
        else:
            raise InputError(
                f"a worker process cannot take the work ({message}); move the functions and classes it uses from the "
                "interpreter or notebook into a module that workers can import, or use workers=1"
            )
        return None

    def _bury(self, worker: _Worker) -> tuple[str, Result] | None:
        self._workers.remove(worker)
        worker.process.join()
        worker.pipe.close()
        how = _how_it_ended(worker.process.exitcode)
        if not worker.ready:
            self._count_stillborn(worker.process.exitcode, how)
        key = worker.key
        if key is None:
            return None
        self._deaths[key] += 1
        if self._deaths[key] <= self._retries:
            self._queue.appendleft(key)
            return None
        return key, Result(None, 0.0, f"its worker process died {self._deaths[key]} times, last by {how}", died=True)

    def _count_stillborn(self, exitcode: int | None, how: str) -> None:
        if exitcode is not None and exitcode >= 0:
            raise InputError(
                f"a worker process ended with {how} while it started; its own message is above. If it is about "
                "bootstrapping, put what your script runs under:  if __name__ == '__main__':"
            )
        self._stillborn += 1
        if self._stillborn >= _STILLBORN:
            raise NetsmithError(
                f"{self._stillborn} worker processes in a row died by {how} before they were ready; each holds a copy "
                "of the model and the data, so give fewer workers"
            )


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Ctrl-C reaches every process of a terminal; what becomes of those started here is for this one to say."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # else the first worker's start would start it, and it unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _send(worker: _Worker, content: Any) -> None:
    """A worker that died in the meantime is noticed when it is listened to."""
    try:
        if isinstance(content, bytes):
            worker.pipe.send_bytes(content)
        else:
            worker.pipe.send(content)
    except OSError:
        return


def _how_it_ended(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f"exit code {exitcode}"
    memory = " (out of memory?)" if exitcode == -9 else ""
    return f"signal {-exitcode}{memory}"
