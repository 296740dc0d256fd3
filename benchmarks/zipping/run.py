"""Two networks folded into one of the same width: averages, alignment, ZipIt, and compensation on top of it.

    python benchmarks/zipping/run.py [--seeds 0 1 2]

Digits networks (an MLP with three hidden layers of 128 units, a ResNet of width 12) trained from two seeds, once both on
all ten classes, once each on a half of the classes (0-4 and 5-9) and judged on all ten. Every way of merging gets the
same 512 training images without labels. Where a way has options (how many units of one network may be merged, how
gladly merged units are merged again) they are chosen on validation digits; test digits are looked at once. "Compensated"
fits every layer in closed form to what the joined network, which is the ensemble exactly, gave. "Pruned" is the joined
network brought down to the multiplications of one member by `netsmith.shrink` with the same images. "Up to the middle"
zips the first half of the layers and leaves the rest side by side: more multiplications. Writes results.json and
results.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import nn

import netsmith
from netsmith.combining import align, join, parallel, repair, uniform_soup, zip_models
from netsmith.data import digits
from netsmith.zoo import digits_resnet

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "merging_models"))
from training import accuracy, mlp, seeded, trained  # noqa: E402

NETWORKS = {"MLP": (lambda: mlp(128), "3"), "ResNet": (lambda: digits_resnet(12), "stage2.0")}
EPOCHS = 20
WITHIN, AGAIN = (0.0, 0.1, 1.0), (0.3, 1.0)


def case(make: Callable[[], nn.Module], middle: str, seed: int, halves: bool) -> dict[str, Any]:
    """Way -> test accuracy, share of a member's multiplications, seconds."""
    data = digits(seed)
    x, y = data.train.images, data.train.labels
    low = y < 5
    parts = [(x[low], y[low]), (x[~low], y[~low])] if halves else [(x, y)] * 2
    models = [trained(seeded(make, 100 + 2 * seed + i), i, *part, EPOCHS) for i, part in enumerate(parts)]
    chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:512]
    batches, example = list(x[chosen].split(64)), x[:2]
    macs = netsmith.measure(models[0], example).macs

    def aligned() -> nn.Module:
        other = align(netsmith.trace(models[0], example), models[1], data=batches, method="activations").model
        return repair(uniform_soup([models[0], other]), [models[0], other], batches)

    def pruned() -> nn.Module:
        joined = join(models, example).model
        return netsmith.shrink(joined, example, budget=netsmith.Budget(macs=macs), data=batches).model

    def zipped(repaired: str, until: str | None = None) -> list[Callable[[], nn.Module]]:
        return [
            lambda w=w, a=a: (
                zip_models(models, example, batches, repair=repaired, until=until, within=w, again=a, seed=seed).model
            )
            for w, a in product(WITHIN, AGAIN)
        ]

    ways: dict[str, list[Callable[[], nn.Module]]] = {
        "best member alone": [lambda: models[0], lambda: models[1]],
        "ensemble": [lambda: parallel(models, rule="logits")],
        "joined": [lambda: join(models, example).model],
        "average": [lambda: uniform_soup(models)],
        "aligned, averaged, REPAIR": [aligned],
        "zipped (ZipIt)": zipped("statistics"),
        "zipped, compensated": zipped("compensate"),
        "joined, pruned": [pruned],
        "zipped up to the middle (ZipIt)": zipped("statistics", middle),
        "zipped up to the middle, compensated": zipped("compensate", middle),
    }
    found: dict[str, Any] = {}
    for way, options in ways.items():
        start = time.perf_counter()
        tried = [option() for option in options]
        seconds = (time.perf_counter() - start) / len(options)
        scores = [accuracy(m, data.validation.images, data.validation.labels) for m in tried]
        best = tried[max(range(len(tried)), key=lambda i: scores[i])]
        found[way] = {
            "accuracy": round(accuracy(best, data.test.images, data.test.labels), 4),
            "macs_share": round(netsmith.measure(best, example).macs / macs, 3),
            "seconds": round(seconds, 2),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    machine = f"{platform.machine()}, {torch.get_num_threads()} thread, torch {torch.__version__.partition('+')[0]}"
    results: dict[str, Any] = {"date": date.today().isoformat(), "machine": machine, "seeds": options.seeds}
    results["settings"] = {"epochs": EPOCHS, "within": WITHIN, "again": AGAIN, "images": 512}
    for (name, (make, middle)), halves in product(NETWORKS.items(), (False, True)):
        runs = [case(make, middle, seed, halves) for seed in options.seeds]
        mean = {
            way: {key: round(sum(run[way][key] for run in runs) / len(runs), 4) for key in runs[0][way]}
            for way in runs[0]
        }
        task = f"{name}, each on half of the classes" if halves else f"{name}, two seeds"
        results.setdefault("cases", {})[task] = {"mean": mean, "runs": runs}
        print(task, {way: each["accuracy"] for way, each in mean.items()}, flush=True)
        (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        (HERE / "results.md").write_text(page(results))


def page(results: dict[str, Any]) -> str:
    cases = results["cases"]
    lines = ["# Networks zipped into one", "", "Made by `run.py`, which says what is measured.", ""]
    lines += [f"{results['date']}, {results['machine']}. Test accuracy in %, mean of seeds {results['seeds']}; "]
    lines[-1] += "in brackets the multiplications as a share of one member's, and seconds to make it."
    lines += ["", f"| | {' | '.join(cases)} |", f"|---{'|---' * len(cases)}|"]
    for way in next(iter(cases.values()))["mean"]:
        cells = [each["mean"][way] for each in cases.values()]
        shown = [f"{100 * c['accuracy']:.2f} ({c['macs_share']:.2f}×, {c['seconds']:.1f} s)" for c in cells]
        lines.append(f"| {way} | {' | '.join(shown)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
