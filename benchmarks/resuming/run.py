"""A training process that is killed ten times and goes on each time, against one that is left alone.

    python benchmarks/resuming/run.py [--kills 10] [--seed 0]

The digits ResNet with augmentation drawn from torch, BatchNorm, AdamW, validation and best weights kept, a checkpoint
every 5 steps. The process is ended by SIGKILL after a random time, whatever it is doing, and started again with
``resume=True``. At the end every tensor must have the same bits. Writes results.json and results.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import torch
from torch import Tensor, nn

from netsmith.checks.classification import classification
from netsmith.data import Splits, batches, digits
from netsmith.training import Training, finetune
from netsmith.zoo import digits_resnet

EPOCHS, EVERY = 6, 5


class Shifted(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Digits, each shifted by up to one pixel at random."""

    def __init__(self, splits: Splits):
        self.images, self.labels = splits.train.images, splits.train.labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        down, right = torch.randint(-1, 2, (2,)).tolist()
        return self.images[i].roll((down, right), (1, 2)), self.labels[i]


def train(folder: Path) -> nn.Module:
    """From the start or from the checkpoint; prints every step."""
    torch.set_num_threads(1)
    splits = digits()
    torch.manual_seed(0)
    network = nn.Sequential(digits_resnet(width=8), nn.Dropout(0.1))
    how = Training(epochs=EPOCHS, lr=0.01, optimizer="adamw", checkpoint=folder, checkpoint_every=EVERY, resume=True)
    validation = batches(splits.validation, 256)
    return finetune(
        network,
        batches(Shifted(splits), 64, shuffle=True),
        training=how,
        validate=lambda model: classification(model, validation)["accuracy"],
        progress=lambda step, total, said: print(step, total, flush=True),
    )


def digest(model: nn.Module) -> str:
    sums = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        sums.update(name.encode() + tensor.numpy().tobytes())
    return sums.hexdigest()


def started(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--inside", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inside", type=Path, help="be the process that trains")
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args()
    if options.inside:
        print(digest(train(options.inside)))
        return
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as place:
        whole = started(Path(place) / "whole")
        lines = (whole.communicate()[0] or "").split("\n")
        expected, total = lines[-2], int(lines[-3].split()[1])
        rows, reached = [], 0
        for kill in range(options.kills):
            # Steps until death, and then a random moment within the next steps: also while a checkpoint is written.
            stop = reached + chance.randint(1, max(1, 2 * (total - reached) // (options.kills - kill + 1)))
            process = started(Path(place) / "killed")
            first = last = 0
            assert process.stdout is not None
            for line in process.stdout:
                last = int(line.split()[0])
                first = first or last
                if last >= min(stop, total - 1):
                    time.sleep(chance.random() * 0.2)
                    process.send_signal(signal.SIGKILL)
                    break
            rest = [int(line.split()[0]) for line in process.stdout if line.strip() and " " in line]
            process.wait()
            before, reached = reached, max([last, *rest])
            rows.append(
                {"first": first, "reached": reached, "lost": max(0, before - first + 1), "rc": process.returncode}
            )
            print(rows[-1], flush=True)
        final = (started(Path(place) / "killed").communicate()[0] or "").split("\n")
    same = final[-2] == expected
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    document = {"date": date.today().isoformat(), "machine": machine, "steps": total, "same": same, "kills": rows}
    (options.out / "results.json").write_text(json.dumps(document, indent=1) + "\n")
    lines = [
        "# Killed and resumed",
        "",
        f"A run of {total} steps, a checkpoint every {EVERY}, ended by SIGKILL {len(rows)} times at random moments; by "
        "`run.py`.",
        f"{document['date']}, {machine}.",
        "",
        f"Final weights, bit by bit: **{'the same' if same else 'DIFFERENT'}** as without interruption.",
        "",
        "| kill | went on at step | killed after step | steps done again |",
        "|---|---|---|---|",
        *(f"| {i + 1} | {r['first']} | {r['reached']} | {r['lost']} |" for i, r in enumerate(rows)),
        "",
    ]
    (options.out / "results.md").write_text("\n".join(lines))
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
