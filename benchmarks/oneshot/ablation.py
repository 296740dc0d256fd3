"""What each ingredient of one-shot shrinking is worth: resnet20-jpeg, no training, 1,024 unlabelled images.

    python benchmarks/oneshot/ablation.py [--shared ../shared/data] [--speedup 2.57] [--depth 20] [--seeds 0]

Each row adds to, or takes from, the one named in it. Writes ablation.md and ablation.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch
from run import accuracy, augmented, images, trained
from torch import nn

import netsmith
from netsmith.data import mirrored
from netsmith.plans import Plan
from netsmith.recovery import Repaired, compensate, recalibrate, refine, repair
from netsmith.searches import allocate, measure_curves


def variants(
    wiring: netsmith.Wiring, budget: netsmith.Budget, data: list, seed: int
) -> dict[str, Callable[[], nn.Module]]:
    """Name -> makes the network. What several rows share is made once."""
    made: dict[str, Any] = {}

    def once(name: str, make: Callable[[], Any]) -> Any:
        if name not in made:
            made[name] = make()
        return made[name]

    def uniform() -> Plan:
        return once("uniform", lambda: netsmith.plan_removal(wiring, budget=budget))

    def allocated() -> Plan:
        return once("allocated", lambda: allocate(measure_curves(wiring, data, seed=seed), budget))

    def by_magnitude() -> Plan:
        curves = measure_curves(wiring, data, seed=seed, score=netsmith.scores.magnitude)
        return once("by magnitude", lambda: allocate(curves, budget))

    def fitted(plan: Plan, name: str, **options: Any) -> Repaired:
        return once(f"{name}{options}", lambda: compensate(wiring, plan, data, seed=seed, **options))

    def refined(plan: Plan, name: str, **options: Any) -> Repaired:
        return once(f"refined {name}{options}", lambda: refine(wiring, fitted(plan, name), data, seed=seed, **options))

    def plain(plan: Plan) -> Repaired:
        return Repaired(netsmith.apply(wiring.model, plan).eval(), plan, {})

    def judged(done: Repaired, batches: list) -> nn.Module:
        return recalibrate(wiring.model, done.model, done.plan, batches).model

    return {
        "uniform widths, by magnitude": lambda: plain(uniform()).model,
        "… + BatchNorm recalibrated on augmented images": lambda: judged(
            plain(uniform()), [augmented(torch.cat(data)).split(128)[i] for i in range(8)]
        ),
        "allocated widths, nothing else": lambda: plain(allocated()).model,
        "uniform widths + closed-form repair": lambda: fitted(uniform(), "uniform").model,
        "allocated + closed-form repair, no steps towards the ReLU": lambda: fitted(allocated(), "a", steps=0).model,
        "allocated + closed-form repair": lambda: fitted(allocated(), "a").model,
        "uniform widths + repair + refinement": lambda: refined(uniform(), "uniform").model,
        "allocated + repair + refinement (4 steps)": lambda: refined(allocated(), "a", steps=4).model,
        "allocated + repair + refinement": lambda: refined(allocated(), "a").model,
        "… with half of the care in the first fits (what shrink does)": lambda: (
            repair(wiring, allocated(), data, seed=seed).model
        ),
        "… what shrink does with mirror images": lambda: repair(wiring, allocated(), mirrored(data), seed=seed).model,
        "… + recalibration, judged by the last batches": lambda: judged(refined(allocated(), "a"), data[-8:]),
        "… with units chosen by magnitude": lambda: refined(by_magnitude(), "m").model,
        "refinement without the closed-form repair before": lambda: (
            refine(wiring, plain(allocated()), data, seed=seed).model
        ),
    }


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=here.parents[2] / "shared" / "data")
    parser.add_argument("--speedup", type=float, default=2.57)
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args()
    test = images(options.shared / "cifar10-jpeg" / "test.parquet")
    found: dict[str, list[dict[str, float]]] = {}
    for seed in options.seeds:
        data = list(images(options.shared / "cifar10-jpeg" / "train.parquet", 1024, seed)[0].split(64))
        wiring = netsmith.trace(trained(options.depth, options.shared), test[0][:1])
        for name, make in variants(wiring, netsmith.Budget(macs=1 / options.speedup), data, seed).items():
            busy = time.process_time()
            row = {"accuracy": accuracy(make(), test), "cpu_seconds": round(time.process_time() - busy, 1)}
            found.setdefault(name, []).append(row)
            print(seed, name, row, flush=True)
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    lines = [
        f"# Ablation: resnet{options.depth}-jpeg at {options.speedup:g} times fewer MACs, no training",
        "",
        f"Accuracy in percent on the 5,000 shared test images, mean of {len(options.seeds)} seeds; by `ablation.py`.",
        f"{date.today().isoformat()}, {machine}.",
        "",
        "| | accuracy |",
        "|---|---|",
    ]
    for name, rows in found.items():
        lines.append(f"| {name} | {sum(r['accuracy'] for r in rows) / len(rows):.2f} |")
    (options.out / "ablation.md").write_text("\n".join([*lines, ""]))
    document = {"date": date.today().isoformat(), "machine": machine, "seeds": options.seeds, "rows": found}
    (options.out / "ablation.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
