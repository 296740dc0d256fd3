"""Healing by distillation without labels against fine-tuning with labels, from the same network and for equal steps.

    python benchmarks/healing/pruned.py --work DIR [--shared ../shared/data] [--speedups 2.57 2] [--steps 50 100 200]

resnet56-jpeg is pruned to the same MACs by netsmith (no label seen) and by Torch-Pruning (the better of two criteria
and two scopes on validation images, BatchNorm statistics recomputed). netsmith's is distilled without labels,
Torch-Pruning's is fine-tuned with labels; same augmented images, same loop, bfloat16, rate to zero at the last step.
The peak rate of each is chosen on validation images by short runs at the first speed-up, or given (few steps favour
rates too low for many). Test images only measure. Writes pruned.json and pruned.md.
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
from starts import by_netsmith, by_torch_pruning
from stream import Stream, accuracy, fast, load, trained
from torch import nn

import netsmith
from netsmith.data.running import eval_mode
from netsmith.training import distil, finetune

TRIAL = 200  # steps of a run that chooses a rate


def healed(network: nn.Module, teacher: nn.Module | None, data: Stream, lr: float, **options: Any) -> nn.Module:
    """By the teacher's outputs, or without a teacher by labels."""
    how = {"steps": len(data), "lr": lr, "precision": "bf16", **options}
    if teacher is None:
        return finetune(network, data, **how)
    return distil(network, teacher, data, **how)


def measuring(at: list[int], test: Any, found: dict[int, float]) -> Callable[[nn.Module], None]:
    """Accuracy on test images after these steps; nothing is chosen by it."""
    steps = 0

    def measure(model: nn.Module) -> None:
        nonlocal steps
        steps += 1
        if steps in at:
            with eval_mode(model):
                found[steps] = accuracy(model, test)
            print(steps, found[steps], flush=True)

    return measure


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=here.parents[2] / "shared" / "data")
    parser.add_argument("--work", type=Path, required=True, help="keeps the pruned networks")
    parser.add_argument("--speedups", nargs="+", type=float, default=[2.57, 2.0])
    parser.add_argument("--steps", nargs="+", type=int, default=[50, 100, 200])
    parser.add_argument("--rates", nargs="+", type=float, default=[0.01, 0.03, 0.1])
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args()
    train, validation, test = load(options.shared)
    big, sibling = trained(56, options.shared), trained(20, options.shared)
    ours = by_netsmith(big, options.speedups, train[0][:1024], options.work)
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    document: dict[str, Any] = {"date": date.today().isoformat(), "machine": machine, "rates": {}, "rows": []}
    document["original"], document["sibling"] = accuracy(big, test), accuracy(sibling, test)
    whole = netsmith.measure(big, test[0][:1]).macs
    document["sibling_macs_share"] = round(netsmith.measure(sibling, test[0][:1]).macs / whole, 4)
    for speedup in options.speedups:
        theirs = by_torch_pruning(big, speedup, train, validation, options.work)
        for name, network, teacher in (
            ("netsmith, distilled without labels", ours[speedup], fast(big)),
            ("Torch-Pruning, fine-tuned with labels", theirs, None),
        ):
            network = fast(network)
            rates = document["rates"].setdefault(name, {})
            for lr in options.rates if len(options.rates) > 1 and not rates else ():
                rates[lr] = accuracy(healed(network, teacher, Stream(*train, TRIAL, seed=1), lr), validation)
                print(name, lr, rates[lr], flush=True)
            best = max(rates, key=lambda lr: rates[lr], default=options.rates[0])
            found = {0: accuracy(network, test)}
            start = time.process_time()
            data = Stream(*train, max(options.steps))
            healed(network, teacher, data, best, after_step=[measuring(options.steps, test, found)])
            row = {
                "network": name,
                "speedup": speedup,
                "macs_share": round(netsmith.measure(network, test[0][:1]).macs / whole, 4),
                "lr": best,
                "accuracy": found,
                "cpu_seconds": round(time.process_time() - start),
            }
            document["rows"].append(row)
            print(json.dumps(row), flush=True)
            (options.out / "pruned.json").write_text(json.dumps(document, indent=1) + "\n")
            (options.out / "pruned.md").write_text(table(document, options.steps))


def table(document: dict[str, Any], steps: list[int]) -> str:
    lines = [
        "# Healing: distillation without labels against fine-tuning with labels",
        "",
        f"resnet56-jpeg ({document['original']} %) pruned to a share of its MACs, then trained for so many steps of "
        "128 augmented images. The rate falls to zero at the last step, so the columns before are of a run under way. "
        f"Accuracy in percent on the 5,000 shared test images; by `pruned.py`. The dense sibling resnet20-jpeg, at "
        f"{document['sibling_macs_share']:.3f} of the MACs, has {document['sibling']} %. Peak rates were chosen on "
        "1,000 validation images, where more than one was tried.",
        f"{document['date']}, {document['machine']}.",
        "",
        "| MACs | pruned by, healed by | rate | " + " | ".join(f"{n} steps" for n in (0, *steps)) + " | CPU s |",
        "|---|---|---|" + "---|" * (len(steps) + 2),
    ]
    for row in document["rows"]:
        cells = " | ".join(f"{row['accuracy'][n]:.2f}" for n in (0, *steps))
        lines.append(
            f"| ÷{row['speedup']:g} ({row['macs_share']:.3f}) | {row['network']} | {row['lr']:g} | {cells} | "
            f"{row['cpu_seconds']} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
