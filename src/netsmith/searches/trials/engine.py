"""What runs attempts: this process, worker processes or a cluster. ``run_trials`` hands out and collects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from .attempt import Result, attempt
from .trial import Work


class Engine(Protocol):
    """Runs up to ``slots`` trials at once.

    ``start`` returns soon, except here, where it returns when the trial is done; ``finished`` waits up to ``timeout``
    seconds for at least one of those started. Leaving the ``with`` block ends whatever is still running.
    """

    slots: int

    def start(self, key: str, spec: Mapping[str, Any]) -> None: ...

    def finished(self, timeout: float) -> list[tuple[str, Result]]: ...

    def __enter__(self) -> Engine: ...

    def __exit__(self, *fault: object) -> None: ...


class Here:
    """This process, one trial after the other, with whatever threads torch has."""

    slots = 1

    def __init__(self, work: Work):
        self._work = work
        self._done: list[tuple[str, Result]] = []

    def start(self, key: str, spec: Mapping[str, Any]) -> None:
        self._done.append((key, attempt(self._work, spec)))

    def finished(self, timeout: float) -> list[tuple[str, Result]]:
        done, self._done = self._done, []
        return done

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *fault: object) -> None:
        pass
