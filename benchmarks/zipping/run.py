"""Two networks folded into one of the same width: averages, alignment, ZipIt, and compensation on top of it.

    python benchmarks/zipping/run.py [--seeds 0 1 2]

Digits networks (an MLP with three hidden layers of 128 units, a ResNet of width 12) trained from two seeds, once both
on all ten classes, once each on a half of the classes (0-4 and 5-9) and judged on all ten. Every way of merging gets
the same 512 training images without labels and its default options; nothing is chosen by test digits. "Compensated"
fits every layer in closed form to what the joined network, which is the ensemble exactly, gave. "Pruned" is the joined
network brought down to the multiplications of one member by `netsmith.shrink` with the same images. "Up to the middle"
zips the first half of the layers and leaves the rest side by side: more multiplications. Writes results.json and
results.md; cases that are not run again stay as they were.
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
IMAGES = 512


def case(make: Callable[[], nn.Module], middle: str, seed: int, halves: bool) -> dict[str, Any]:
    """Way -> test accuracy, share of a member's multiplications, seconds."""
    data = digits(seed)
    x, y = data.train.images, data.train.labels
    low = y < 5
    parts = [(x[low], y[low]), (x[~low], y[~low])] if halves else [(x, y)] * 2
    models = [trained(seeded(make, 100 + 2 * seed + i), i, *part, EPOCHS) for i, part in enumerate(parts)]
    chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:IMAGES]
    batches, example = list(x[chosen].split(64)), x[:2]
    macs = netsmith.measure(models[0], example).macs

    def aligned() -> nn.Module:
        other = align(netsmith.trace(models[0], example), models[1], data=batches, method="activations").model
        return repair(uniform_soup([models[0], other]), [models[0], other], batches)

    def pruned() -> nn.Module:
        joined = join(models, example).model
        return netsmith.shrink(joined, example, budget=netsmith.Budget(macs=macs), data=batches).model

    def zipped(repaired: str, until: str | None = None) -> nn.Module:
        return zip_models(models, example, batches, repair=repaired, until=until, seed=seed).model

    ways: dict[str, Callable[[], nn.Module]] = {
        "ensemble": lambda: parallel(models, rule="logits"),
        "joined": lambda: join(models, example).model,
        "average": lambda: uniform_soup(models),
        "aligned, averaged, REPAIR": aligned,
        "zipped (ZipIt)": lambda: zipped("statistics"),
        "zipped, compensated": lambda: zipped("compensate"),
        "joined, pruned": pruned,
        "zipped up to the middle (ZipIt)": lambda: zipped("statistics", middle),
        "zipped up to the middle, compensated": lambda: zipped("compensate", middle),
    }
    alone = [accuracy(model, data.test.images, data.test.labels) for model in models]
    found: dict[str, Any] = {"members, mean": {"accuracy": sum(alone) / 2, "macs_share": 1.0, "seconds": 0.0}}
    for way, make_it in ways.items():
        start = time.process_time()
        made = make_it()
        found[way] = {
            "accuracy": round(accuracy(made, data.test.images, data.test.labels), 4),
            "macs_share": round(netsmith.measure(made, example).macs / macs, 3),
            "seconds": round(time.process_time() - start, 2),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    machine = f"{platform.machine()}, {torch.get_num_threads()} thread, torch {torch.__version__.partition('+')[0]}"
    kept = HERE / "results.json"
    cases = json.loads(kept.read_text())["cases"] if kept.is_file() else {}
    for name, halves in product(options.networks, (True, False)):
        make, middle = NETWORKS[name]
        runs = []
        for seed in options.seeds:
            runs.append(case(make, middle, seed, halves))
            print(name, halves, seed, {way: each["accuracy"] for way, each in runs[-1].items()}, flush=True)
        mean = {
            way: {key: round(sum(run[way][key] for run in runs) / len(runs), 4) for key in runs[0][way]}
            for way in runs[0]
        }
        task = f"{name}, each on half of the classes" if halves else f"{name}, two seeds"
        cases[task] = {"mean": mean, "seeds": options.seeds, "runs": runs}
        results = {"date": date.today().isoformat(), "machine": machine, "epochs": EPOCHS, "images": IMAGES}
        results["cases"] = dict(sorted(cases.items()))
        kept.write_text(json.dumps(results, indent=1) + "\n")
        (HERE / "results.md").write_text(page(results))


def page(results: dict[str, Any]) -> str:
    cases = results["cases"]
    lines = ["# Networks zipped into one", "", "Made by `run.py`, which says what is measured.", ""]
    lines += [f"{results['date']}, {results['machine']}. Test accuracy in %, mean over seeds (in brackets how many); "]
    lines[-1] += "behind it the multiplications as a share of one member's, and CPU seconds to make and judge it."
    heads = [f"{task} ({len(each['seeds'])})" for task, each in cases.items()]
    lines += ["", f"| | {' | '.join(heads)} |", f"|---{'|---' * len(cases)}|"]
    for way in next(iter(cases.values()))["mean"]:
        cells = [each["mean"][way] for each in cases.values()]
        shown = [f"{100 * c['accuracy']:.2f}, {c['macs_share']:.2f}×, {c['seconds']:.1f} s" for c in cells]
        lines.append(f"| {way} | {' | '.join(shown)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
