"""Folding units against removing them, on a trained CIFAR ResNet at half its multiplications.

    python benchmarks/merging/folding.py [--shared ../shared/data] [--images 192]

One plan (the same share of every axis, units by magnitude), carried out four ways: removed, folded (k-means of the
weights, begun at the units that stay), and both followed by compensation on unlabelled training images; all also with
recalibrated normalization. Judged by accuracy on 2,000 test images. And axis by axis: which of the four comes nearest
to the original's outputs on held-out calibration images when that axis alone changes. Writes folding.json and
folding.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import torch
from exact import HERE, oneshot

import netsmith
from netsmith.recovery import compensate, fold, recalibrate
from netsmith.recovery.fold_choice import fold_errors
from netsmith.recovery.repaired import Repaired


def measured(depth: int, images: int, shared: Path) -> dict[str, Any]:
    run = oneshot()
    model = run.trained(depth, shared)
    test = run.images(shared / "cifar10-jpeg" / "test.parquet", 2000)
    x, _ = run.images(shared / "cifar10-jpeg" / "train.parquet", images)
    data = list(x.split(32))
    wiring = netsmith.trace(model, x[:1])
    plan = netsmith.plan_removal(wiring, budget=netsmith.Budget(macs=0.5))
    choices = fold_errors(wiring, plan, data, most_examples=images)
    better = [n for n, e in choices.items() if e["folded, compensated"] < e["removed, compensated"]]
    ways = {
        "removed": lambda: Repaired(netsmith.apply(model, plan).eval(), plan, {}),
        "folded": lambda: fold(wiring, plan),
        "removed, compensated": lambda: compensate(wiring, plan, data),
        "folded, compensated": lambda: compensate(wiring, plan, data, fold=True),
        "best per axis, compensated": lambda: compensate(wiring, plan, data, fold=better),
    }
    rows = {}
    for name, make in ways.items():
        start = time.perf_counter()
        done = make()
        seconds = time.perf_counter() - start
        again = recalibrate(model, done.model, done.plan, data)
        rows[name] = {
            "accuracy": run.accuracy(done.model, test),
            "recalibrated": run.accuracy(again.model, test),
            "verified": bool(netsmith.verify(model, done.model, done.plan, x[:2])),
            "seconds": round(seconds, 1),
        }
        print(name, rows[name], flush=True)
    wins = Counter(min(errors, key=lambda way: errors[way]) for errors in choices.values())
    macs = netsmith.measure(netsmith.apply(model, plan), x[:1]).macs / netsmith.measure(model, x[:1]).macs
    return {
        "original": run.accuracy(model, test),
        "macs_share": round(macs, 3),
        "rows": rows,
        "axes_won": dict(wins),
        "axes": choices,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=HERE.parents[2] / "shared" / "data")
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--images", type=int, default=192)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = measured(options.depth, options.images, options.shared)
    machine = f"{platform.machine()}, {torch.get_num_threads()} thread, torch {torch.__version__}"
    found = {"network": f"resnet{options.depth}-jpeg", "date": date.today().isoformat(), "machine": machine, **found}
    (HERE / "folding.json").write_text(json.dumps(found, indent=1) + "\n")
    (HERE / "folding.md").write_text(table(found))


def table(found: dict[str, Any]) -> str:
    lines = ["# Folding units", "", "Made by `folding.py`, which says what is measured.", ""]
    lines += [f"{found['date']}, {found['machine']}. {found['network']} ({found['original']} %) at "]
    lines[-1] += f"{found['macs_share']:.0%} of its multiplications."
    lines += ["", "| | accuracy | … recalibrated | verified | seconds |", "|---|---|---|---|---|"]
    for name, row in found["rows"].items():
        verified = "yes" if row["verified"] else "no"
        lines.append(f"| {name} | {row['accuracy']} | {row['recalibrated']} | {verified} | {row['seconds']} |")
    wins = ", ".join(f"{way} {count}" for way, count in found["axes_won"].items())
    pairs = [(e["folded, compensated"], e["removed, compensated"]) for e in found["axes"].values()]
    lines += ["", f"Axes on which each way comes nearest when the axis changes alone: {wins}, of {len(pairs)}; after "]
    lines[-1] += f"compensation folding is nearer than removal on {sum(a < b for a, b in pairs)}."
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
