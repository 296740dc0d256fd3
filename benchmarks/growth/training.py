"""Training a small network, growing it and training on, against training the big one from scratch: digits.

    python benchmarks/growth/training.py [--seeds 0 1 2]

The small network is ``digits_resnet(width=4)``. Grown, every axis is twice as wide and three blocks are inserted; the
big network trained from scratch has exactly that structure, with fresh weights. Cost is multiply-accumulates of one
example times the examples trained on, the small network's training included. The width to start from (2, 4 or 6), the
epochs and the learning rate after growing (0.05 or 0.1) were chosen on the validation split with seed 9; each seed has
a split of its own, and its test split is looked at once. Beside the big network's full training there is one that may
cost as much as the grown network's, with a schedule of that length. One thread. Writes training.json; ``report.py``
makes the table.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import nn

import netsmith
from netsmith.checks.classification import classification
from netsmith.data import batches, digits
from netsmith.plans import Plan, plan_growth
from netsmith.training import finetune
from netsmith.zoo import digits_resnet

HERE = Path(__file__).parent
X = torch.zeros(1, 1, 8, 8)
BIG_EPOCHS, SMALL_EPOCHS, GROWN_EPOCHS = 20, 16, 9
LR, GROWN_LR = 0.1, 0.1


def small_network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return digits_resnet(width=4)


def growth(model: nn.Module, seed: int) -> Plan:
    return plan_growth(netsmith.trace(model, X), widen={"*": 2.0}, deepen=3, seed=seed)


def fresh(model: nn.Module, seed: int) -> nn.Module:
    """The same structure with the weights that its layers' own initializations give."""
    torch.manual_seed(seed)
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    return model


def trained(model: nn.Module, splits: Any, epochs: int, lr: float, seed: int) -> tuple[nn.Module, float]:
    """(trained copy, multiply-accumulates that its forwards took)."""
    loader = batches(splits.train, 64, shuffle=True, seed=seed)
    done = finetune(model, loader, epochs=epochs, lr=lr, weight_decay=5e-4, seed=seed)
    return done, netsmith.measure(model, X, latency=False).macs * len(splits.train) * epochs


def one_seed(seed: int) -> dict[str, Any]:
    splits = digits(seed)

    def judged(model: nn.Module) -> dict[str, float]:
        parts = {"validation": splits.validation, "test": splits.test}
        return {name: classification(model, batches(part, 256))["accuracy"] for name, part in parts.items()}

    record: dict[str, Any] = {}
    start = time.perf_counter()
    small, small_cost = trained(small_network(seed), splits, SMALL_EPOCHS, LR, seed)
    record["small"] = {**judged(small), "macs": small_cost}
    plan = growth(small, seed)
    grown = netsmith.apply(small, plan)
    verdict = netsmith.verify(small, grown, plan, X)
    record["grown, not trained on"] = {**judged(grown), "macs": small_cost}
    record["verify"] = next(check.detail for check in verdict.checks if check.name == "outputs")
    tuned, grown_cost = trained(grown, splits, GROWN_EPOCHS, GROWN_LR, seed)
    record["grown"] = {**judged(tuned), "macs": small_cost + grown_cost}
    scratch = fresh(netsmith.apply(small, plan), seed)
    big, big_cost = trained(scratch, splits, BIG_EPOCHS, LR, seed)
    record["big from scratch"] = {**judged(big), "macs": big_cost}
    each = big_cost / BIG_EPOCHS
    short = int((small_cost + grown_cost) / each)
    brief, brief_cost = trained(scratch, splits, short, LR, seed)
    record["big from scratch, as costly as grown"] = {**judged(brief), "macs": brief_cost}
    record["seconds"] = round(time.perf_counter() - start, 1)
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=HERE / "training.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    machine = f"{platform.machine()}, {os.cpu_count()} cores (one thread), torch {torch.__version__}"
    found: dict[str, Any] = {"machine": machine, "date": date.today().isoformat(), "seeds": {}}
    for seed in options.seeds:
        record = one_seed(seed)
        found["seeds"][str(seed)] = record
        print(seed, json.dumps(record, indent=1), flush=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
