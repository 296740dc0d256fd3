"""How long ``netsmith.shrink`` takes: resnet56-jpeg at 2.57 times fewer MACs, 1,024 unlabelled images, no training.

    python benchmarks/oneshot/time.py [--shared ../shared/data] [--depth 56] [--speedup 2.57] [--threads 1 2]

Each number of threads is a process of its own. Wall seconds and CPU seconds of every stage, memory beyond what was
there before, and the load average meanwhile: on a machine that does other work wall seconds say little. The weights'
hash says whether the result is the same. Writes time.json and time.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch
from run import accuracy, images, trained

import netsmith

STAGES = {
    "trace": "reading the model",
    "plan": "error curves, allocation",
    "repair": "refitting each layer",
    "refine": "refitting stretches",
    "recalibrate": "batch statistics",
    "verify": "verifying",
    "measure": "cost, latency",
}


def timed(shared: Path, depth: int, speedup: float, seed: int) -> dict[str, Any]:
    """One run in this process."""
    model = trained(depth, shared)
    data = list(images(shared / "cifar10-jpeg" / "train.parquet", 1024, seed)[0].split(64))
    stages: dict[str, dict[str, float]] = {}
    now = [time.perf_counter(), time.process_time(), ""]

    def ticked(what: str, done: int, total: int) -> None:
        if what != now[2]:
            closed = {"wall": time.perf_counter() - now[0], "cpu": time.process_time() - now[1]}
            if now[2]:
                stages[now[2]] = {key: round(value, 1) for key, value in closed.items()}
            now[:] = [time.perf_counter(), time.process_time(), what]

    begun, busy = time.perf_counter(), time.process_time()
    result = netsmith.shrink(model, data[0][:1], budget=netsmith.Budget(macs=1 / speedup), data=data, progress=ticked)
    ticked("", 0, 1)
    found = {
        "threads": torch.get_num_threads(),
        "wall": round(time.perf_counter() - begun, 1),
        "cpu": round(time.process_time() - busy, 1),
        "peak_bytes": result.spent.peak_bytes,
        "load": round(os.getloadavg()[0], 1),
        "stages": stages,
        "verified": result.verdict.ok,
    }
    digest = hashlib.sha256(b"".join(t.numpy().tobytes() for t in result.model.state_dict().values()))
    test = images(shared / "cifar10-jpeg" / "test.parquet")
    return found | {"weights": digest.hexdigest()[:12], "accuracy": accuracy(result.model, test)}


def table(found: dict[str, Any], depth: int, speedup: float) -> str:
    rows = found["rows"]
    lines = [
        f"# Time: resnet{depth}-jpeg, {speedup:g} times fewer MACs, one budget",
        "",
        "`netsmith.shrink` with 1,024 unlabelled images; wall seconds (CPU seconds); written by `time.py`.",
        f"{found['date']}, {found['machine']}.",
        "",
        "| | " + " | ".join(f"{r['threads']} thread{'s' * (r['threads'] > 1)}" for r in rows) + " |",
        "|---|" + "---|" * len(rows),
    ]
    for stage, words in STAGES.items():
        cells = [f"{s['wall']} ({s['cpu']})" if (s := r["stages"].get(stage)) else "–" for r in rows]
        lines.append(f"| {words} | " + " | ".join(cells) + " |")
    lines += [
        "| **in all** | " + " | ".join(f"**{r['wall']}** ({r['cpu']})" for r in rows) + " |",
        "| memory beyond model and images, MB | " + " | ".join(f"{r['peak_bytes'] / 1e6:.0f}" for r in rows) + " |",
        "| load average at the end | " + " | ".join(str(r["load"]) for r in rows) + " |",
        "| accuracy, % of the test images | " + " | ".join(str(r["accuracy"]) for r in rows) + " |",
        "| weights (hash) | " + " | ".join(r["weights"] for r in rows) + " |",
    ]
    return "\n".join([*lines, ""])


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=here.parents[2] / "shared" / "data")
    parser.add_argument("--depth", type=int, default=56)
    parser.add_argument("--speedup", type=float, default=2.57)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one", action="store_true", help="run once, in this process, and print what was found")
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(timed(options.shared, options.depth, options.speedup, options.seed)))
        return
    rows = []
    for threads in options.threads:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        command = [sys.executable, __file__, "--one", *sys.argv[1:]]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout))
        print(done.stdout, end="", flush=True)
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    found = {"date": date.today().isoformat(), "machine": machine, "rows": rows}
    (options.out / "time.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.out / "time.md").write_text(table(found, options.depth, options.speedup))


if __name__ == "__main__":
    main()
