"""Two networks fine-tuned on two halves of the classes, merged: RegMean beside averages and task vectors.

    python benchmarks/merging_models/two_halves.py [--seeds 0 1 2]

A network is trained a little on 200 digits of all classes; one copy goes on with the digits 0–4, one with 5–9. Options
of each method are chosen on validation digits, and test digits are looked at once. Of each merged network one with
fresh statistics (`repair`) is tried as well. Writes the "two halves" part of
results.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from report import keep
from torch import nn

from netsmith.combining import fisher, fisher_importance, merge_models, regmean, regmean_plus, repair, uniform_soup
from netsmith.data import digits
from netsmith.evidence import activations
from netsmith.wiring import trace
from netsmith.zoo import digits_resnet
from training import accuracy, mlp, seeded, trained

SCALES = (0.4, 0.6, 0.8, 1.0)
DENSITIES = (0.2, 0.5, 0.8)


def case(make: Callable[[], nn.Module], seed: int) -> dict[str, Any]:
    """Test accuracy of each way to merge."""
    data = digits(seed)
    x, y = data.train.images, data.train.labels
    base = trained(seeded(make, seed), seed, x[:200], y[:200], 8)
    low = y < 5
    parts = [(x[low], y[low]), (x[~low], y[~low])]
    models = [trained(base, seed + 1 + i, *part, 12) for i, part in enumerate(parts)]
    batches = [list(part[0][:512].split(64)) for part in parts]
    both = [b for pair in zip(*batches, strict=False) for b in pair]
    grams = [activations(trace(m, b[0]), b) for m, b in zip(models, batches, strict=True)]
    ways: dict[str, list[Callable[[], nn.Module]]] = {
        "average": [lambda: uniform_soup(models)],
        "task arithmetic": [
            lambda s=s: merge_models(models, "task_arithmetic", base=base, parameters={"weight": s}) for s in SCALES
        ],
        "TIES": [
            lambda s=s, d=d: merge_models(models, "ties", base=base, parameters={"lambda": s, "density": d})
            for s in (*SCALES, 1.5)
            for d in DENSITIES
        ],
        "Fisher": [lambda: fisher(models, [fisher_importance(m, [p]) for m, p in zip(models, parts, strict=True)])],
        "RegMean": [lambda a=a: regmean(models, grams, alpha=a) for a in (0.7, 0.9, 1.0)],
        "RegMean++": [lambda a=a: regmean_plus(models, batches, alpha=a) for a in (0.7, 0.9, 1.0)],
    }
    found: dict[str, Any] = {"alone": [accuracy(m, data.test.images, data.test.labels) for m in models]}
    for name, options in ways.items():
        tried = []
        for option in options:
            merged = option()
            tried += [merged, repair(merged, models, both)]
        scores = [accuracy(m, data.validation.images, data.validation.labels) for m in tried]
        best = tried[max(range(len(tried)), key=lambda i: scores[i])]
        found[name] = accuracy(best, data.test.images, data.test.labels)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for name, make in (("MLP", lambda: mlp(128)), ("ResNet", lambda: digits_resnet(12))):
        runs = [case(make, seed) for seed in options.seeds]
        mean = {key: round(sum(run[key] for run in runs) / len(runs), 4) for key in runs[0] if key != "alone"}
        found[name] = {"mean": mean, "runs": runs}
        print(name, mean, flush=True)
        keep("two halves", {"seeds": options.seeds, **found})


if __name__ == "__main__":
    main()
