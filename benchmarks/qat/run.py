"""Four bits a weight on a trained CIFAR ResNet: the nearest integers, GPTQ, and training with rounding in the loop.

    OMP_NUM_THREADS=1 python benchmarks/qat/run.py [--shared ../shared/data] [--depth 20] [--steps 200]

One scale an output, convolutions and the classifier. GPTQ sees 1,024 unlabelled training images. Training starts from
GPTQ's integers and learns the float network's outputs, without labels, on augmented training images in batches of 64,
with netsmith's default learning rate; nothing is tuned. Accuracy is on the 5,000 test images, looked at once.
Writes results.json and results.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import netsmith
from netsmith.plans import plan_precision
from netsmith.recovery import round_weights
from netsmith.training import distil

sys.path.insert(0, str(Path(__file__).parents[1] / "oneshot"))
from run import accuracy, augmented, images, trained

BATCH = 64


class Augmented:
    """Batches of augmented images, drawn anew in every pass from torch's random state."""

    def __init__(self, x: Tensor, count: int):
        self.x, self.count = x, count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Tensor]:
        for chosen in torch.randint(len(self.x), (self.count, BATCH)):
            yield augmented(self.x[chosen], int(chosen[0]))


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=here.parents[2] / "shared" / "data")
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args()
    if not options.shared.is_dir():
        sys.exit(f"{options.shared} is absent: this benchmark needs the shared networks and images")
    test = images(options.shared / "cifar10-jpeg" / "test.parquet")
    x, _ = images(options.shared / "cifar10-jpeg" / "train.parquet")
    few, _ = images(options.shared / "cifar10-jpeg" / "train.parquet", 1024)
    model = trained(options.depth, options.shared)
    wiring = netsmith.trace(model, x[:1])
    rows: list[dict[str, Any]] = []

    def add(name: str, each: nn.Module, start: float) -> None:
        rows.append({"weights": name, "accuracy": accuracy(each, test), "seconds": round(time.process_time() - start)})
        print(json.dumps(rows[-1]), flush=True)

    add("float32", model, time.process_time())
    for scheme in ("int8", "int4"):
        start = time.process_time()
        plan = plan_precision(wiring, scheme=scheme)
        add(f"{scheme}, nearest", netsmith.apply(model, plan).eval(), start)
        rounded = round_weights(wiring, plan, list(few.split(64))).model
        add(f"{scheme}, GPTQ", rounded, start)
    done = distil(rounded, model, Augmented(x, options.steps), steps=options.steps)
    add(f"int4, GPTQ + {options.steps} steps of training with rounding", done, start)
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    found = {
        "date": date.today().isoformat(),
        "machine": machine,
        "network": f"resnet{options.depth}-jpeg",
        "rows": rows,
    }
    (options.out / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    lines = ["# Four bits with training", "", f"{found['date']}, {machine}. Written by `run.py`.", ""]
    lines += [f"{found['network']}, percent on the 5,000 test images; CPU seconds of all that was done.", ""]
    lines += ["| weights | accuracy | CPU seconds |", "|---|---|---|"]
    lines += [f"| {row['weights']} | {row['accuracy']} | {row['seconds']} |" for row in rows]
    (options.out / "results.md").write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
