"""Work for trials that worker processes can import, and a study as a script of its own, so that it can be killed."""

from __future__ import annotations

import functools
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from netsmith.searches.trials import Store, Trial, run_trials


def trials(count: int, **each: Any) -> list[Trial]:
    return [Trial(i, {"x": i, **each}) for i in range(count)]


def small_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def measured(spec: Mapping[str, Any], model: nn.Module) -> dict[str, Any]:
    """A model's outputs for noise that nobody seeded; what else happens is said by the spec."""
    time.sleep(spec.get("sleep", 0))
    if spec.get("raise") == spec["x"]:
        raise ValueError("this width is not to be had")
    if spec.get("die") == spec["x"]:
        os.kill(os.getpid(), signal.SIGKILL)
    with torch.no_grad():
        return {"outputs": model(torch.randn(1, 4)).flatten().tolist(), "shape": (1, 2)}


def written_down(spec: Mapping[str, Any], log: str, sleep: float) -> dict[str, Any]:
    """Leaves a line in a file: how often a trial ran is how many lines it has."""
    time.sleep(sleep)
    with Path(log).open("a") as file:
        file.write(f"{spec['x']}\n")
    return {"square": spec["x"] ** 2}


class Killer:
    """Kills worker processes of this process at moments that no test can foresee."""

    def __init__(self, kills: int):
        self.killed, self._kills = 0, kills
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._kill)

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *fault: object) -> None:
        self._over.set()
        self._thread.join()

    def _kill(self) -> None:
        chance = random.Random()
        while self.killed < self._kills and not self._over.wait(chance.uniform(0, 1.5)):
            workers = [pid for worker in multiprocessing.active_children() if (pid := worker.pid)]
            with suppress(ProcessLookupError):  # it ended by itself meanwhile: the next one, then
                if workers:
                    os.kill(chance.choice(workers), signal.SIGKILL)
                    self.killed += 1


class Unwelcome:
    """Can be pickled; what happens when it is unpickled is for the arguments to say."""

    def __init__(self, function: Any, *args: Any):
        self.function, self.args = function, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.args

    def __call__(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        return {}


def refuse(why: str) -> None:
    raise AttributeError(why)


def main(storage: str, log: str, count: str, sleep: str, workers: str) -> None:
    """A study that runs until it is through or killed."""
    store = Store(storage, "squares", beat_seconds=0.2, dead_after=2)
    work = functools.partial(written_down, log=log, sleep=float(sleep))
    outcomes = run_trials(trials(int(count)), work, workers=int(workers), store=store)
    sys.stdout.write(f"{[outcome.values['square'] for outcome in outcomes if outcome.values]}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
