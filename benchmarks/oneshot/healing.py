"""How little healing it takes to pass the dense sibling: resnet56-jpeg at the MACs of resnet20-jpeg.

    python benchmarks/oneshot/healing.py [--shared ../shared/data] [--speedup 3.1] [--steps 25 50 100]

resnet56-jpeg is shrunk without training to what resnet20-jpeg costs, then distilled from the original without labels,
on augmented training images in batches of 128, a run for each number of steps (the rate decays to zero within each).
Writes healing.json and healing.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from datetime import date
from pathlib import Path

import torch
from run import accuracy, augmented, images, trained

import netsmith
from netsmith.recovery import repair
from netsmith.searches import allocate, measure_curves
from netsmith.training import distil


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=here.parents[2] / "shared" / "data")
    parser.add_argument("--speedup", type=float, default=3.1)
    parser.add_argument("--steps", nargs="+", type=int, default=[25, 50, 100])
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args()
    test = images(options.shared / "cifar10-jpeg" / "test.parquet")
    x, _ = images(options.shared / "cifar10-jpeg" / "train.parquet", 128 * max(options.steps), options.seed)
    big, sibling = trained(56, options.shared), trained(20, options.shared)
    calibration = list(x[:1024].split(64))
    wiring = netsmith.trace(big, test[0][:1])
    plan = allocate(measure_curves(wiring, calibration), netsmith.Budget(macs=1 / options.speedup))
    small = repair(wiring, plan, calibration).model
    macs = {name: netsmith.measure(m, test[0][:1]).macs for name, m in (("sibling", sibling), ("small", small))}
    rows = [{"steps": 0, "accuracy": accuracy(small, test), "seconds": 0.0}]
    goal = accuracy(sibling, test)
    print(macs, goal, rows[0], flush=True)
    for steps in options.steps:
        start = time.perf_counter()
        batches = [augmented(part, seed=i) for i, part in enumerate(x[: 128 * steps].split(128))]
        healed = distil(small, big, batches, epochs=1, lr=options.lr, seed=options.seed)
        rows.append({"steps": steps, "accuracy": accuracy(healed, test), "seconds": time.perf_counter() - start})
        print(rows[-1], flush=True)
        if rows[-1]["accuracy"] > goal:
            break
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    lines = [
        "# Above the dense sibling",
        "",
        f"resnet56-jpeg at {macs['small'] / 1e6:.1f} M MACs; resnet20-jpeg as it is has {macs['sibling'] / 1e6:.1f} M "
        f"and {goal} %. Distilled from resnet56-jpeg without labels, batches of 128 augmented images, rate "
        f"{options.lr:g} decaying to zero. Accuracy on the 5,000 shared test images; by `healing.py`.",
        f"{date.today().isoformat()}, {machine}.",
        "",
        "| steps | images seen | accuracy | seconds |",
        "|---|---|---|---|",
        *(f"| {r['steps']} | {128 * r['steps']:,} | {r['accuracy']:.2f} | {r['seconds']:.0f} |" for r in rows),
        "",
    ]
    (options.out / "healing.md").write_text("\n".join(lines))
    document = {"date": date.today().isoformat(), "machine": machine, "sibling": goal, "macs": macs, "rows": rows}
    (options.out / "healing.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
