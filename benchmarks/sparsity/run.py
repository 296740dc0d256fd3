"""Half of the weights at zero, without training: plain magnitude, Wanda, and SparseGPT-style updates.

    OMP_NUM_THREADS=1 python benchmarks/sparsity/run.py [--shared ../shared/data] [--depths 20 56]

1,024 unlabelled training images for all that looks at data. "+ update": the same zeros, and the weights to their right
make up for them; "SparseGPT" also chooses the zeros on the way. Nothing is tuned; accuracy is on the 5,000 test images.
Writes results.json and results.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import nn

import netsmith
from netsmith.evidence import Activations, activations
from netsmith.plans import plan_dead, plan_sparsity
from netsmith.recovery import sparsify
from netsmith.surgery.zeros import count_zeros
from netsmith.wiring import Wiring

sys.path.insert(0, str(Path(__file__).parents[1] / "oneshot"))
from run import accuracy, images, trained

KINDS: dict[str, dict[str, Any]] = {
    "50 %, one ranking": {"share": 0.5, "scope": "global"},
    "50 % of each layer": {"share": 0.5, "scope": "layer"},
    "2:4": {"pattern": "2:4"},
}


def results_of(wiring: Wiring, seen: Activations, kind: dict[str, Any], test: Any) -> list[dict[str, Any]]:
    """Every method with the same number of zeros."""
    rows = []

    def add(method: str, model: nn.Module, start: float) -> None:
        zeros, weights = count_zeros(model)
        seconds = round(time.process_time() - start, 1)
        rows.append(
            {"method": method, "accuracy": accuracy(model, test), "zeros": zeros / weights, "cpu_seconds": seconds}
        )
        print(json.dumps(rows[-1]), flush=True)

    for criterion in ("magnitude", "wanda"):
        start = time.process_time()
        plan = plan_sparsity(wiring, criterion=criterion, data=seen, **kind)
        add(criterion, netsmith.apply(wiring.model, plan), start)
        add(f"{criterion} + update", sparsify(wiring, seen, plan=plan).model, start)
    if kind.get("scope") != "global":
        start = time.process_time()
        chosen = {key: value for key, value in kind.items() if key != "scope"}
        add("SparseGPT", sparsify(wiring, seen, **chosen).model, start)
    return rows


def threshold_row(wiring: Wiring, test: Any) -> dict[str, Any]:
    """Pruning at 1e-2: how much goes, whether all else keeps its bits, and how many units are dead then."""
    model = wiring.model
    plan = plan_sparsity(wiring, threshold=1e-2)
    sparse = netsmith.apply(model, plan)
    before, after = model.state_dict(), sparse.state_dict()
    same = all(bool(((after[n] == 0) | (after[n] == before[n])).all()) for n in before)
    dead = plan_dead(netsmith.trace(sparse, wiring.example_inputs))
    zeros, weights = count_zeros(sparse)
    return {
        "zeros": zeros / weights,
        "accuracy": accuracy(sparse, test),
        "survivors_bit_equal": same and netsmith.verify(model, sparse, plan, wiring.example_inputs).ok,
        "dead_units": sum(edit.size - len(edit.keep) for edit in dead.resizes),
    }


def table(found: list[dict[str, Any]], machine: str) -> str:
    lines = ["# Sparsity without training", "", f"{date.today().isoformat()}, {machine}. Written by `run.py`.", ""]
    lines += ["Accuracy in percent on the 5,000 test images; 1,024 unlabelled training images.", ""]
    methods = ["magnitude", "magnitude + update", "wanda", "wanda + update", "SparseGPT"]
    lines += [f"| network | zeros | dense | {' | '.join(methods)} |", "|---|---|---|" + "---|" * len(methods)]
    for each in found:
        for kind, rows in each["kinds"].items():
            by_method = {row["method"]: row["accuracy"] for row in rows}
            cells = " | ".join(str(by_method.get(method, "–")) for method in methods)
            lines.append(f"| {each['network']} | {kind} | {each['dense']} | {cells} |")
    lines += ["", "Weights below 1e-2 in magnitude set to zero, all others untouched:", ""]
    lines += ["| network | zeros | dense | accuracy | survivors bit-equal | dead units |", "|---|---|---|---|---|---|"]
    for each in found:
        row = each["threshold"]
        lines.append(
            f"| {each['network']} | {row['zeros']:.1%} | {each['dense']} | {row['accuracy']} | "
            f"{'yes' if row['survivors_bit_equal'] else 'NO'} | {row['dead_units']} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=here.parents[2] / "shared" / "data")
    parser.add_argument("--depths", nargs="+", type=int, default=[20, 56])
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args()
    if not options.shared.is_dir():
        sys.exit(f"{options.shared} is absent: this benchmark needs the shared networks and images")
    test = images(options.shared / "cifar10-jpeg" / "test.parquet")
    calibration = list(images(options.shared / "cifar10-jpeg" / "train.parquet", 1024)[0].split(64))
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    found = []
    for depth in options.depths:
        model = trained(depth, options.shared)
        wiring = netsmith.trace(model, test[0][:1])
        seen = activations(wiring, calibration)
        each = {
            "network": f"resnet{depth}-jpeg",
            "dense": accuracy(model, test),
            "threshold": threshold_row(wiring, test),
        }
        found.append(each | {"kinds": {name: results_of(wiring, seen, kind, test) for name, kind in KINDS.items()}})
        result = {"date": date.today().isoformat(), "machine": machine, "results": found}
        (options.out / "results.json").write_text(json.dumps(result, indent=1) + "\n")
        (options.out / "results.md").write_text(table(found, machine))
    print((options.out / "results.md").read_text())


if __name__ == "__main__":
    main()
