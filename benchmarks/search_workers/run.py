"""Structures of a digits ResNet tried by worker processes, some of which are killed: the same outcomes as undisturbed.

    python benchmarks/search_workers/run.py [--seeds 0 1 2] [--epochs 4] [--without-ray]

24 structures: a share of the units of every axis stays, but for one stage that is left alone. Each is pruned,
compensated and recalibrated on 512 unlabelled training images and scored on the validation part. First in one process;
then by 4 worker processes, two of them killed (SIGKILL) in the midst of a trial, at moments drawn by the seed; the same
as tasks of a local Ray cluster, two of whose processes are killed; and by a study that is killed whole and resumed from
SQLite. Writes results.json and results.md.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import random
import signal
import tempfile
import threading
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import netsmith
from netsmith.data import batches, digits
from netsmith.recovery import compensate, recalibrate
from netsmith.searches.trials import Outcome, Store, Trial, digest, run_trials
from netsmith.training import finetune
from netsmith.zoo import digits_resnet

HERE = Path(__file__).parent
STAGES = ("conv1*", "stage1*", "stage2*", "stage3*")
SHARES = (0.3, 0.4, 0.5, 0.6, 0.75, 0.9)
WORKERS, KILLS = 4, 2


def structures() -> list[Trial]:
    specs = [{"keep": share, "alone": stage} for share in SHARES for stage in STAGES]
    return [Trial(number, spec) for number, spec in enumerate(specs)]


def judged(
    spec: Mapping[str, Any], model: nn.Module, calibration: list[Tensor], validation: tuple[Tensor, Tensor], busy: str
) -> dict[str, Any]:
    """Prune, repair, score. The process's number lies in ``busy`` meanwhile, for whoever wants to kill it."""
    mark = Path(busy) / str(os.getpid())
    mark.touch()
    wiring = netsmith.trace(model, calibration[0])
    plan = netsmith.plan_removal(wiring, keep=spec["keep"], ignore=[spec["alone"]])
    small = compensate(wiring, plan, calibration).model
    small = recalibrate(model, small, plan, calibration).model
    x, y = validation
    with torch.no_grad():
        outputs = small.eval()(x)
    cost = netsmith.measure(small, x[:1], latency=False)
    mark.unlink(missing_ok=True)
    loss = nn.functional.cross_entropy(outputs, y)
    return {"accuracy": float((outputs.argmax(1) == y).float().mean()), "loss": float(loss), "macs": cost.macs}


class Killer:
    """Kills processes in the midst of a trial until enough are dead."""

    def __init__(self, busy: Path, seed: int, kills: int):
        self._busy, self._chance, self._left = busy, random.Random(seed), kills
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._kill)
        self.killed = 0

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *fault: object) -> None:
        self._over.set()
        self._thread.join()

    def _kill(self) -> None:
        while self.killed < self._left and not self._over.wait(self._chance.uniform(0.2, 2)):
            if marks := sorted(self._busy.iterdir()):
                mark = self._chance.choice(marks)
                mark.unlink(missing_ok=True)
                try:
                    os.kill(int(mark.name), signal.SIGKILL)
                except ProcessLookupError:
                    continue
                self.killed += 1


def front(outcomes: list[Outcome]) -> list[int]:
    """Numbers of those that no other beats in both accuracy and MACs."""
    points = [(o.number, o.values["macs"], o.values["accuracy"]) for o in outcomes if o.values]
    return [n for n, m, a in points if not any((x <= m and y >= a and (x, y) != (m, a)) for _, x, y in points)]


def kept(path: Path) -> list[str]:
    """Digests of the trials that a store has outcomes of."""
    store = Store(path, "digits")
    store.look()
    return [key for key in (digest(dict(t.spec)) for t in structures()) if store.result(key) is not None]


def killed_study(work: Any, path: Path, expected: list[Outcome]) -> dict[str, Any]:
    """A forked process begins the study and is killed after some trials; this one ends it."""
    child = os.fork()
    if child == 0:
        run_trials(structures(), work, store=Store(path, "digits"))
        os._exit(0)
    found = 0
    while found < 6:  # looked at as another process of the same study would
        time.sleep(1)
        found = len(kept(path)) if path.exists() else 0
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = len(kept(path))
    start = time.perf_counter()
    outcomes = run_trials(structures(), work, store=Store(path, "digits"))
    return row("killed whole, resumed from SQLite", outcomes, expected, 1, start) | {"found": found}


def row(name: str, outcomes: list[Outcome], expected: list[Outcome], killed: int, start: float) -> dict[str, Any]:
    return {
        "run": name,
        "killed": killed,
        "same_outcomes": outcomes == expected,
        "same_front": front(outcomes) == front(expected),
        "errors": sum(o.error is not None for o in outcomes),
        "seconds": round(time.perf_counter() - start, 1),
    }


def trained(seed: int, epochs: int) -> tuple[nn.Module, list[Tensor], tuple[Tensor, Tensor]]:
    data = digits(seed)
    torch.manual_seed(seed)
    model = digits_resnet(width=16)
    model = finetune(model, batches(data.train, 64, shuffle=True, seed=seed), epochs=epochs, lr=0.1, seed=seed)
    calibration = [x for x, _ in batches(data.train, 128)][:4]
    return model.eval(), calibration, (data.validation.images, data.validation.labels)


def measured(seed: int, epochs: int, with_ray: bool) -> list[dict[str, Any]]:
    model, calibration, validation = trained(seed, epochs)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        busy = Path(folder) / "busy"
        busy.mkdir()
        parts = {"model": model, "calibration": calibration, "validation": validation, "busy": str(busy)}
        work = functools.partial(judged, **parts)
        start = time.perf_counter()
        expected = run_trials(structures(), work)
        rows.append(row("one process", expected, expected, 0, start))
        engines: dict[str, dict[str, Any]] = {f"{WORKERS} worker processes": {"workers": WORKERS}}
        if with_ray:
            engines["local Ray cluster"] = {"ray": "local", "workers": WORKERS}
        for name, options in engines.items():
            start = time.perf_counter()
            with Killer(busy, seed, KILLS) as killer:
                outcomes = run_trials(structures(), work, retries=KILLS, **options)
            rows.append(row(name, outcomes, expected, killer.killed, start))
            print(rows[-1], flush=True)
        rows.append(killed_study(work, Path(folder) / "study.db", expected))
    return [{"seed": seed, "front": len(front(expected)), **each} for each in rows]


def table(found: dict[str, Any]) -> str:
    lines = [
        "# Worker processes killed in the midst of a search",
        "",
        "24 structures of a digits ResNet, each pruned, repaired and scored; written by `run.py`.",
        f"{found['date']}, {found['machine']}.",
        "Outcomes are the same if every accuracy, loss and count of MACs is, to the last bit. Seconds are those of a "
        "busy machine and contain the start of workers and cluster.",
        "",
        "| seed | run | killed | outcomes of one process | front of one process | errors | s |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in found["results"]:
        same = ["same" if each[name] else "**differ**" for name in ("same_outcomes", "same_front")]
        name = each["run"] + (f" ({each['found']} found again)" if "found" in each else "")
        cells = (each["seed"], name, each["killed"], *same, each["errors"], each["seconds"])
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--without-ray", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results: list[dict[str, Any]] = []
    for seed in options.seeds:
        results += measured(seed, options.epochs, not options.without_ray)
        print(*results, sep="\n", flush=True)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, one thread a process, torch {torch.__version__}"
    found = {"date": date.today().isoformat(), "machine": machine, "results": results}
    (HERE / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    (HERE / "results.md").write_text(table(found))


if __name__ == "__main__":
    main()
