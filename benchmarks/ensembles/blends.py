"""Blends of five small networks (CNN, ResNet, MLP, ViT, gradient-boosted trees) on digits and spoken digits.

    python benchmarks/ensembles/blends.py [--shared ../shared/data] [--data digits fsdd] [--seeds 0 1 2 3 4]

Members learn the training split; weights, stacks and gates are fitted on the validation split; test is looked at once.
The seed chooses the split (fsdd: of train and validation alone), the first weights and the order of batches. Figures of
earlier runs in blends.json are kept. Writes blends.json and blends.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from members import builders, splits, trained
from torch import Tensor, nn

from netsmith.combining.ensembles import Ensemble, blend, evaluate, gather, mixture, parallel, stack
from netsmith.data import batches
from netsmith.files import load_ensemble, save_ensemble

METHODS: dict[str, Callable[[Any, Any, Any, int], Ensemble]] = {
    "mean of probabilities": lambda m, o, v, s: parallel(m),
    "geometric mean": lambda m, o, v, s: parallel(m, rule="geometric"),
    "vote": lambda m, o, v, s: parallel(m, rule="vote"),
    "weights: log-loss": lambda m, o, v, s: blend(m, o),
    "weights: non-negative least squares": lambda m, o, v, s: blend(m, o, method="least_squares"),
    "Caruana": lambda m, o, v, s: blend(m, o, method="greedy", seed=s),
    "stacking: logistic": lambda m, o, v, s: stack(m, o, seed=s),
    "stacking: ridge": lambda m, o, v, s: stack(m, o, meta="ridge", seed=s),
    "mixture": lambda m, o, v, s: mixture(m, v, seed=s),
}


def reloads(model: Ensemble, side: int, x: Tensor) -> bool:
    """Whether the saved folder, loaded again, answers bit by bit the same."""
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        save_ensemble(model, Path(folder) / "out")
        needed = {name: build for name, build in builders(side).items() if name in model.names}
        return bool(torch.equal(load_ensemble(Path(folder) / "out", needed)(x), model(x)))


def run(data: str, seed: int, shared: Path) -> dict[str, Any]:
    parts = splits(data, shared, seed)
    x, side = parts.test.images[:1], parts.test.images.shape[-1]
    start = time.process_time()
    members = trained(parts.train, seed)
    seconds = time.process_time() - start
    validation, test = batches(parts.validation, 256), batches(parts.test, 256)
    outputs = gather(members, validation)
    row: dict[str, Any] = {"data": data, "seed": seed, "training_cpu_seconds": round(seconds, 1)}
    row["members"] = {name: quality(model, test, x) for name, model in members.items()}
    row["validation"] = {
        name: float((scores.argmax(1) == outputs.labels).double().mean())
        for name, scores in zip(outputs.names, outputs.scores, strict=True)
    }
    row["blends"], row["reloaded_equal"] = {}, {}
    for name, make in METHODS.items():
        model = make(members, outputs, list(validation), seed)
        row["blends"][name] = quality(model, test, x)
        row["reloaded_equal"][name] = reloads(model, side, parts.test.images)
    return row


def quality(model: nn.Module, test: Any, x: Tensor) -> dict[str, float]:
    found = evaluate(model, test, x).as_dict()
    return {key: found[key] for key in ("accuracy", "f1", "ece", "log_loss")}


def table(rows: list[dict[str, Any]], machine: str) -> str:
    lines = [
        "# Blends of five small networks",
        "",
        f"Mean over seeds on test; written by `blends.py`. {date.today().isoformat()}, {machine}.",
        "Accuracy and F1 in percent. Below best: seeds on which the blend is less accurate than the best member "
        "on that seed's *test* split, which nobody could have known.",
    ]
    for data in dict.fromkeys(row["data"] for row in rows):
        same = [row for row in rows if row["data"] == data]
        best = [max(m["accuracy"] for m in row["members"].values()) for row in same]
        equal = all(all(row["reloaded_equal"].values()) for row in same)
        lines += ["", f"## {data}: {len(same)} seeds", "", "| | accuracy | F1 | ECE | log-loss | below best |"]
        lines += ["|---|---|---|---|---|---|"]
        for kind in ("members", "blends"):
            for name in same[0][kind]:
                found = [row[kind][name] for row in same]
                below = sum(f["accuracy"] < b for f, b in zip(found, best, strict=True))
                values = [mean(f[key] for f in found) for key in ("accuracy", "f1", "ece", "log_loss")]
                shown = f"**{name}**" if kind == "blends" else name
                lines.append(
                    f"| {shown} | {100 * values[0]:.2f} | {100 * values[1]:.2f} | {values[2]:.3f} | {values[3]:.3f} | "
                    f"{below} of {len(same)} |"
                )
        chosen = mean(row["members"][max(row["validation"], key=row["validation"].get)]["accuracy"] for row in same)
        lines += [
            "",
            f"Best member of each seed by its test accuracy: {100 * mean(best):.2f}; by validation: "
            f"{100 * chosen:.2f}. Every blend, saved as one folder and loaded again, gives "
            f"{'the same' if equal else 'OTHER'} outputs, bit by bit. "
            f"Training all five: {mean(row['training_cpu_seconds'] for row in same):.0f} s of one thread.",
        ]
    return "\n".join([*lines, ""])


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=here.parents[2] / "shared" / "data")
    parser.add_argument("--data", nargs="+", default=["digits", "fsdd"], choices=["digits", "fsdd"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args()
    if "fsdd" in options.data and not options.shared.is_dir():
        sys.exit(f"{options.shared} is absent: fsdd needs the shared recordings (or run --data digits)")
    torch.set_num_threads(1)
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    kept = options.out / "blends.json"
    earlier = json.loads(kept.read_text())["rows"] if kept.is_file() else []
    known = {(row["data"], row["seed"]): row for row in earlier}
    for data in options.data:
        for seed in options.seeds:
            known[data, seed] = run(data, seed, options.shared)
            print(json.dumps(known[data, seed]), flush=True)
            rows = [known[key] for key in sorted(known)]
            found = {"date": date.today().isoformat(), "machine": machine, "rows": rows}
            kept.write_text(json.dumps(found, indent=1) + "\n")
            (options.out / "blends.md").write_text(table(rows, machine))


if __name__ == "__main__":
    main()
