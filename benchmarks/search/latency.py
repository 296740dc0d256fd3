"""Budgets of latency, asked for and measured afterwards, eager and in ONNX Runtime.

    python benchmarks/search/latency.py [--shares 0.7 0.5] [--engines eager onnxruntime] [--seeds 0]

A digits ResNet of width 32 is to take so large a share of its own time for 64 images. What is found is timed again when
all is done, in turns with the original, by five processes that have nothing to do with the search (an engine other than
eager begins further ones of its own, one for each network and timing); the median of the shares that it takes then is
compared with the share that was asked for: where memory comes to lie is drawn with each process, and an engine may be a
tenth faster in one than in the next. The sum of parts is what the table of single
calls predicted for it.
Weights are random: time does not depend on them. Writes latency.json and latency.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import torch

import netsmith
from netsmith.data import batches, digits
from netsmith.searches.steering import timed
from netsmith.zoo import digits_resnet

WIDTH, BATCH, AGAIN, PROCESSES = 32, 64, 31, 5


def original(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return digits_resnet(width=WIDTH).eval()


def row(seed: int, engine: str, share: float) -> dict[str, Any]:
    splits, model = digits(seed), original(seed)
    study = netsmith.search(
        model,
        splits.train.images[:BATCH],
        data=batches(splits.train, BATCH),
        budgets=netsmith.Budget(latency_ms=f"{100 * share}%"),
        strategy="allocation",
        trials=1,
        finalists=1,
        engine=engine,
        seed=seed,
    )
    best, steered = study.best(), study.latency[0]
    with tempfile.TemporaryDirectory() as folder:
        study.save(Path(folder) / "study")
        point = Path(folder) / "study" / "front" / best.name
        command = [sys.executable, __file__, "--again", str(point), engine, str(seed)]
        timings = [
            json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            for _ in range(PROCESSES)
        ]
    before, after = sorted(timings, key=lambda pair: pair[1] / pair[0])[PROCESSES // 2]
    return {
        "seed": seed,
        "engine": engine,
        "asked": share,
        "measured": after / before,
        "macs_share": best.cost.macs / study.original.cost.macs,
        "shares": sorted(after / before for before, after in timings),
        "original_ms": before,
        "result_ms": after,
        "sum_of_parts": (best.predicted_ms or 0.0) / steered.original_ms,
        "timings": steered.measurements,
        "seconds": round(study.seconds, 1),
    }


def again(folder: str, engine: str, seed: int) -> list[float]:
    """Milliseconds of the original and of a saved point, in turns."""
    torch.set_num_threads(1)
    model = original(seed)
    small = netsmith.load(folder, lambda: original(seed))
    return timed([model, small], digits(seed).train.images[:BATCH], engine, AGAIN)


def table(rows: list[dict[str, Any]], machine: str) -> str:
    lines = [
        "# Budgets of latency",
        "",
        f"Written by `latency.py`. {date.today().isoformat()}, {machine}, one thread, {os.getloadavg()[0]:.0f} other "
        "processes wanted the processors.",
        f"A digits ResNet of width {WIDTH}, {BATCH} images a call. Shares of the original's time, timed in turns.",
        "",
        "| engine | asked | measured afterwards (least, most) | off by | sum of parts | off by | MACs | timings | s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        lines.append(
            f"| {r['engine']} | {r['asked']:.0%} | {r['measured']:.1%} ({r['shares'][0]:.1%}, "
            f"{r['shares'][-1]:.1%}) | {r['measured'] / r['asked'] - 1:+.1%} | "
            f"{r['sum_of_parts']:.1%} | {r['sum_of_parts'] / r['measured'] - 1:+.1%} | {r['macs_share']:.1%} | "
            f"{r['timings']} | {r['seconds']:.0f} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shares", nargs="+", type=float, default=[0.7, 0.5])
    parser.add_argument("--engines", nargs="+", default=["eager", "onnxruntime"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--again", nargs=3, metavar=("FOLDER", "ENGINE", "SEED"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    if options.again:
        print(json.dumps(again(options.again[0], options.again[1], int(options.again[2]))))
        return
    torch.set_num_threads(1)
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    rows = []
    for seed in options.seeds:
        for engine in options.engines:
            for share in options.shares:
                rows.append(row(seed, engine, share))
                print(json.dumps(rows[-1]), flush=True)
                found = {"date": date.today().isoformat(), "machine": machine, "rows": rows}
                (options.out / "latency.json").write_text(json.dumps(found, indent=1) + "\n")
                (options.out / "latency.md").write_text(table(rows, machine))


if __name__ == "__main__":
    main()
