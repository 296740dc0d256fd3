"""The front of a search against uniform shrinking, random search and Torch-Pruning, on the digits ResNet.

    python benchmarks/search/digits.py [--seeds 0 1 2] [--budgets 0.25 0.375 0.5 0.625 0.75] [--trials 20]

A ResNet is trained on scikit-learn's digits (another split, other weights for each seed), and shrunk to each share of
its MACs. Searches by error curves and at random judge as many structures each; the best of every budget is healed. The
uniform structure goes through the same repair. Torch-Pruning prunes globally by six criteria, its users' way, and each
of the six is healed. Healing is the same for all: so many epochs of distillation, undone where they make it worse.
Everybody chooses by the cross-entropy on the validation part; the test part is looked at once, for the figures. Writes
digits.json and digits.md.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch
import torch_pruning as tp
from torch import nn
from torch.nn.functional import cross_entropy

import netsmith
from netsmith.data import Examples, Splits, batches, digits
from netsmith.training import distil, finetune
from netsmith.zoo import digits_resnet

WIDTH, TRAINING, HEALING, BATCH = 8, 16, 6, 64


@torch.no_grad()
def scores(model: nn.Module, part: Examples) -> dict[str, float]:
    out = model.eval()(part.images)
    right = (out.argmax(1) == part.labels).float().mean()
    return {"loss": float(cross_entropy(out, part.labels)), "accuracy": float(right)}


def trained(splits: Splits, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = digits_resnet(width=WIDTH)
    return finetune(model, batches(splits.train, BATCH, shuffle=True, seed=seed), epochs=TRAINING, lr=0.1, seed=seed)


def healed(edited: nn.Module, original: nn.Module, splits: Splits, seed: int) -> nn.Module:
    loader = batches(splits.train, BATCH, shuffle=True, seed=seed)
    return distil(edited, original, loader, epochs=HEALING, lr=0.02, seed=seed)


def criteria() -> dict[str, Any]:
    return {
        "magnitude L1": tp.importance.GroupMagnitudeImportance(p=1),
        "magnitude L2": tp.importance.GroupMagnitudeImportance(p=2),
        "BatchNorm scale": tp.importance.BNScaleImportance(),
        "LAMP": tp.importance.LAMPImportance(),
        "FPGM": tp.importance.FPGMImportance(),
        "Taylor": tp.importance.GroupTaylorImportance(),
    }


def torch_pruned(model: nn.Module, x: torch.Tensor, share: float, splits: Splits, importance: Any) -> nn.Module:
    """Globally pruned to at most this share of the MACs: the smallest ratio that fits."""
    limit = share * netsmith.measure(model, x).macs
    low, high, best = 0.0, 0.95, None
    for _ in range(9):
        ratio = (low + high) / 2
        network = copy.deepcopy(model).eval()
        cross_entropy(network(splits.train.images[:512]), splits.train.labels[:512]).backward()
        pruner = tp.pruner.BasePruner(
            network,
            x,
            importance=importance,
            global_pruning=True,
            pruning_ratio=ratio,
            max_pruning_ratio=0.95,
            ignored_layers=[network.fc],
        )
        pruner.step()
        network.zero_grad(set_to_none=True)
        fits = netsmith.measure(network, x).macs <= limit
        low, high = (low, ratio) if fits else (ratio, high)
        best = network if fits else best
    assert best is not None
    return best.eval()


def rows_of(seed: int, shares: list[float], trials: int, scratch: str) -> list[dict[str, Any]]:
    splits = digits(seed)
    model = trained(splits, seed)
    x = splits.train.images[:BATCH]
    whole = netsmith.measure(model, x).macs
    loader = batches(splits.train, BATCH, shuffle=True, seed=seed)

    def heal(edited: nn.Module, original: nn.Module) -> nn.Module:
        return healed(edited, original, splits, seed)

    rows: list[dict[str, Any]] = []

    def told(method: str, share: float | None, network: nn.Module, seconds: float, **more: Any) -> None:
        found = {
            "seed": seed,
            "method": method,
            "budget": share,
            "macs_share": netsmith.measure(network, x).macs / whole,
        }
        found |= {f"validation_{k}": v for k, v in scores(network, splits.validation).items()}
        found |= {f"test_{k}": v for k, v in scores(network, splits.test).items()}
        rows.append(found | {"seconds": round(seconds, 1)} | more)
        print(json.dumps(rows[-1]), flush=True)

    told("original", None, model, 0.0)
    start = time.perf_counter()
    study = netsmith.search(
        model,
        x,
        data=loader,
        budgets=[netsmith.Budget(macs=share) for share in shares],
        evaluate=lambda m: scores(m, splits.validation),
        minimize="loss",
        strategy=("allocation", "random"),
        trials=trials,
        heal=heal,
        finalists=1,
        seed=seed,
        storage=scratch,
    )
    seconds = (time.perf_counter() - start) / len(shares) / 2
    for number, share in enumerate(shares):
        for origin in ("allocation", "random", "uniform"):
            best = next(c for c in study.final if c.origin == origin and c.budget == number)
            built = study.build(best)
            told(origin, share, built.model, seconds, verified=built.verdict.ok, widths=dict(best.structure.widths))
    for share in shares:
        start = time.perf_counter()
        tried = []
        for name, importance in criteria().items():
            pruned = torch_pruned(model, x, share, splits, importance)
            for network in (pruned, heal(pruned, model)):
                tried.append((scores(network, splits.validation)["loss"], name, network))
        _, name, network = min(tried, key=lambda t: t[:2])
        told("torch-pruning", share, network, time.perf_counter() - start, criterion=name)
    return rows


def table(rows: list[dict[str, Any]], machine: str, trials: int) -> str:
    methods = ("torch-pruning", "uniform", "random", "allocation")
    seeds = sorted({row["seed"] for row in rows})
    first = [row for row in rows if row["method"] == "original"]
    lines = [
        "# Search on the digits ResNet",
        "",
        f"Written by `digits.py`. {date.today().isoformat()}, {machine}.",
        f"Width {WIDTH}; seeds {', '.join(map(str, seeds))}; {trials} trials a search over all budgets, the best "
        f"healed; {HEALING} epochs of distillation for all.",
        "Test part (360 images): mean cross-entropy and accuracy over the seeds; all choose by validation loss. One "
        "image is 0.28 points of accuracy.",
        "",
        f"Original: loss {_mean(first, 'test_loss'):.4f}, accuracy {100 * _mean(first, 'test_accuracy'):.2f} %.",
        "",
        "| MACs | " + " | ".join(methods) + " |",
        "|---" * (len(methods) + 1) + "|",
    ]
    for share in sorted({row["budget"] for row in rows if row["budget"]}, reverse=True):
        cells = []
        means = {m: _mean([r for r in rows if r["method"] == m and r["budget"] == share], "test_loss") for m in methods}
        for method in methods:
            same = [row for row in rows if row["method"] == method and row["budget"] == share]
            cell = f"{means[method]:.4f}, {100 * _mean(same, 'test_accuracy'):.2f} %"
            cells.append(f"**{cell}**" if means[method] == min(means.values()) else cell)
        lines.append(f"| {share:.1%} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _mean(rows: list[dict[str, Any]], key: str) -> float:
    return sum(row[key] for row in rows) / max(len(rows), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--budgets", nargs="+", type=float, default=[0.25, 0.375, 0.5, 0.625, 0.75])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as scratch:
            rows += rows_of(seed, options.budgets, options.trials, scratch)
        found = {"date": date.today().isoformat(), "machine": machine, "trials": options.trials, "rows": rows}
        (options.out / "digits.json").write_text(json.dumps(found, indent=1) + "\n")
        (options.out / "digits.md").write_text(table(rows, machine, options.trials))


if __name__ == "__main__":
    main()
