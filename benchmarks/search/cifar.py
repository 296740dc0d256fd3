"""The front of a search on a trained CIFAR ResNet, against uniform shrinking, random search and Torch-Pruning.

    python benchmarks/search/cifar.py [--shared ../shared/data] [--depth 56] [--seeds 0] [--budgets 0.25 0.5 0.75]
        [--trials 12] [--epochs 2]

As `digits.py`, with the shared networks and images: 1,024 of 10,000 training images repair, all of them heal, with
random crops and mirroring, 2,000 others choose, and the 5,000 test images are looked at once. Torch-Pruning's six
criteria, ranked over all layers, are compared before healing on the images that choose, and the best two of them
healed. Also says how long the error curves and the division of one budget take. Writes cifar.json and cifar.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import netsmith
from netsmith.searches import allocate, measure_curves
from netsmith.training import distil

sys.path.append(str(Path(__file__).parents[1] / "oneshot"))
from peer import criteria, pruned
from run import augmented, images, trained

TRAIN, REPAIR, VALIDATION, BATCH = 10_000, 1024, 2000, 128


class Augmented:
    """Batches of crops, other ones in each pass, the same for the same pass."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y, self.epoch = x, y, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.x) // BATCH)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self.x), generator=torch.Generator().manual_seed(self.epoch))
        for chosen in order.split(BATCH):
            yield augmented(self.x[chosen], seed=self.epoch * len(self) + int(chosen[0])), self.y[chosen]


@torch.no_grad()
def scores(model: nn.Module, data: tuple[Tensor, Tensor]) -> dict[str, float]:
    out = torch.cat([model.eval()(x) for x in data[0].split(250)])
    accuracy = float((out.argmax(1) == data[1]).float().mean())
    return {"loss": float(cross_entropy(out, data[1])), "accuracy": accuracy}


def rows_of(options: argparse.Namespace, seed: int) -> list[dict[str, Any]]:
    model = trained(options.depth, options.shared)
    x, y = images(options.shared / "cifar10-jpeg" / "train.parquet", TRAIN + VALIDATION, seed)
    validation, train = (x[TRAIN:], y[TRAIN:]), (x[:TRAIN], y[:TRAIN])
    test = images(options.shared / "cifar10-jpeg" / "test.parquet")
    example, whole = test[0][:1], netsmith.measure(model, test[0][:1]).macs
    loader = Augmented(*train)
    start = time.process_time()
    curves = measure_curves(netsmith.trace(model, example), list(train[0][:REPAIR].split(64)), seed=seed)
    measured = time.process_time() - start
    allocate(curves, netsmith.Budget(macs=options.budgets[0]))
    divided = time.process_time() - start - measured
    rows: list[dict[str, Any]] = []

    def heal(edited: nn.Module, original: nn.Module) -> nn.Module:
        return distil(edited, original, loader, epochs=options.epochs, lr=0.02, seed=seed)

    def told(method: str, share: float | None, network: nn.Module, **more: Any) -> None:
        found = {
            "seed": seed,
            "method": method,
            "budget": share,
            "macs_share": netsmith.measure(network, example).macs / whole,
        }
        found |= {f"validation_{k}": v for k, v in scores(network, validation).items()}
        found |= {f"test_{k}": v for k, v in scores(network, test).items()}
        rows.append(found | more)
        print(json.dumps(rows[-1]), flush=True)

    told("original", None, model, curve_cpu_seconds=round(measured, 1), allocation_cpu_seconds=round(divided, 1))
    with tempfile.TemporaryDirectory() as scratch:
        study = netsmith.search(
            model,
            example,
            data=[
                (a, b)
                for a, b in zip(train[0][: REPAIR + 256].split(64), train[1][: REPAIR + 256].split(64), strict=True)
            ],
            budgets=[netsmith.Budget(macs=share) for share in options.budgets],
            evaluate=lambda m: scores(m, validation),
            minimize="loss",
            strategy=("allocation", "random"),
            trials=options.trials,
            heal=heal,
            finalists=1,
            seed=seed,
            storage=scratch,
        )
        for number, share in enumerate(options.budgets):
            for origin in ("allocation", "random", "uniform"):
                best = next(c for c in study.final if c.origin == origin and c.budget == number)
                built = study.build(best)
                told(origin, share, built.model, verified=built.verdict.ok, widths=dict(best.structure.widths))
    for share in options.budgets:
        tried = [
            (scores(network, validation)["loss"], name, network)
            for only in criteria()
            for name, network in pruned(model, example, share, (train[0][:512], train[1][:512]), [only])
            if name.endswith("global")
        ]
        healed = [(name, heal(network, model)) for _, name, network in sorted(tried, key=lambda t: t[:2])[:2]]
        name, network = min(healed, key=lambda h: scores(h[1], validation)["loss"])
        told("torch-pruning", share, network, criterion=name)
    return rows


def table(rows: list[dict[str, Any]], options: argparse.Namespace, machine: str) -> str:
    methods = ("torch-pruning", "uniform", "random", "allocation")
    first = next(row for row in rows if row["method"] == "original")
    seeds = ", ".join(map(str, sorted({row["seed"] for row in rows})))
    lines = [
        f"# Search on resnet{options.depth}-jpeg",
        "",
        f"Written by `cifar.py`. {date.today().isoformat()}, {machine}.",
        f"Seeds {seeds}; {options.trials} trials a search over all "
        f"budgets, the best of each healed; {options.epochs} epochs of distillation on 10,000 images for all.",
        f"Accuracy on the 5,000 test images, percent; original {100 * first['test_accuracy']:.2f}. Error curves took "
        f"{first['curve_cpu_seconds']} s of one thread, dividing a budget {first['allocation_cpu_seconds']} s.",
        "",
        "| MACs | " + " | ".join(methods) + " |",
        "|---" * (len(methods) + 1) + "|",
    ]
    for share in sorted(options.budgets, reverse=True):
        cells = []
        for method in methods:
            same = [r["test_accuracy"] for r in rows if r["method"] == method and r["budget"] == share]
            cells.append(f"{100 * sum(same) / len(same):.2f}" if same else "–")
        lines.append(f"| {share:.1%} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=here.parents[2] / "shared" / "data")
    parser.add_argument("--depth", type=int, default=56)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--budgets", nargs="+", type=float, default=[0.25, 0.5, 0.75])
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args()
    if not options.shared.is_dir():
        sys.exit(f"{options.shared} is absent: this benchmark needs the shared networks and images")
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        rows += rows_of(options, seed)
        found = {"date": date.today().isoformat(), "machine": machine, "rows": rows}
        (options.out / "cifar.json").write_text(json.dumps(found, indent=1) + "\n")
        (options.out / "cifar.md").write_text(table(rows, options, machine))


if __name__ == "__main__":
    main()
