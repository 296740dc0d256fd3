"""One-shot shrinking without training: netsmith against Torch-Pruning on trained CIFAR ResNets.

    python benchmarks/oneshot/run.py [--shared ../shared/data] [--cases 20:1.5 20:2 20:3 56:2] [--out DIR]

Both get the same network, the same 512 training images and the same limit on MACs. netsmith sees the images without
labels; Torch-Pruning's best of six criteria × two scopes is reported, chosen on validation images, before and after
recomputing BatchNorm statistics on 2,000 augmented training images. Test images are looked at once per network.
Writes results.json and results.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch
from peer import pruned, recalibrated
from safetensors.torch import load_file
from torch import Tensor, nn

import netsmith
from netsmith.data import Pixels, batches, parquet
from netsmith.zoo import cifar_resnet

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def images(path: Path, first: int | None = None, seed: int = 0) -> tuple[Tensor, Tensor]:
    """All images of a file, or a random few of them."""
    dataset = parquet(path, pixels=Pixels(mean=MEAN, std=STD))
    loaded = list(batches(dataset, 1000))
    x, y = torch.cat([x for x, _ in loaded]), torch.cat([y for _, y in loaded])
    if first is None:
        return x, y
    chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:first]
    return x[chosen], y[chosen]


def augmented(x: Tensor, seed: int = 0) -> Tensor:
    """Random crops of padded images, half of them mirrored: what these networks were trained on."""
    generator = torch.Generator().manual_seed(seed)
    padded = nn.functional.pad(x, (4, 4, 4, 4))
    rows, columns = torch.randint(0, 9, (2, len(x)), generator=generator).tolist()
    crops = torch.stack([p[:, r : r + 32, c : c + 32] for p, r, c in zip(padded, rows, columns, strict=True)])
    flip = torch.rand(len(x), generator=generator) < 0.5
    return torch.where(flip[:, None, None, None], crops.flip(3), crops)


@torch.no_grad()
def accuracy(model: nn.Module, data: tuple[Tensor, Tensor]) -> float:
    """Percent."""
    x, y = data[0].to(memory_format=torch.channels_last), data[1]
    model = model.to(memory_format=torch.channels_last)
    right = sum(int((model(a).argmax(1) == b).sum()) for a, b in zip(x.split(250), y.split(250), strict=True))
    return round(100 * right / len(x), 2)


def compare(depth: int, speedup: float, shared: Path, train: Any, validation: Any, test: Any) -> dict[str, Any]:
    model = cifar_resnet(depth).eval()
    model.load_state_dict(load_file(shared / "resnet-cifar10" / f"resnet{depth}-jpeg.safetensors"))
    x = test[0][:1]
    calibration = train[0][:512]
    start = time.perf_counter()
    result = netsmith.shrink(model, x, budget=netsmith.Budget(macs=1 / speedup), data=list(calibration.split(64)))
    seconds = time.perf_counter() - start
    before, after = result.steps[0].cost, result.steps[-1].cost
    row: dict[str, Any] = {
        "network": f"resnet{depth}-jpeg",
        "speedup": speedup,
        "original": accuracy(model, test),
        "netsmith": accuracy(result.model, test),
        "netsmith_seconds": round(seconds, 1),
        "netsmith_macs_share": round(after.macs / before.macs, 4),
        "netsmith_params_share": round(after.params / before.params, 4),
        "verified": result.verdict.ok,
    }
    plain: list[tuple[float, str, nn.Module]] = []
    again: list[tuple[float, str, nn.Module]] = []
    for name, network in pruned(model, x, 1 / speedup, (calibration, train[1][:512])):
        plain.append((accuracy(network, validation), name, network))
        network = recalibrated(network, augmented(train[0][:2000]))
        again.append((accuracy(network, validation), name, network))
    for key, candidates in (("torch_pruning", plain), ("torch_pruning_recalibrated", again)):
        _, name, network = max(candidates, key=lambda c: c[0])
        row[key], row[f"{key}_criterion"] = accuracy(network, test), name
        row[f"{key}_macs_share"] = round(netsmith.measure(network, x).macs / before.macs, 4)
    return row


def table(rows: list[dict[str, Any]], machine: str) -> str:
    lines = [
        "# One-shot shrinking without training",
        "",
        "Accuracy in percent on the 5,000 shared test images; written by `run.py`.",
        f"{date.today().isoformat()}, {machine}.",
        "",
        "| network | MACs | original | Torch-Pruning's best | … + BatchNorm recalibration | netsmith | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['network']} | ÷{row['speedup']:g} | {row['original']} | {row['torch_pruning']} | "
            f"{row['torch_pruning_recalibrated']} ({row['torch_pruning_recalibrated_criterion']}) | "
            f"**{row['netsmith']}** | {row['netsmith_seconds']} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=here.parents[2] / "shared" / "data")
    parser.add_argument("--cases", nargs="+", default=["20:2", "20:1.5", "20:3", "56:2"], help="depth:speedup")
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args()
    if not options.shared.is_dir():
        sys.exit(f"{options.shared} is absent: this benchmark needs the shared networks and images")
    train = images(options.shared / "cifar10-jpeg" / "train.parquet", 2500)
    validation = (train[0][2000:], train[1][2000:])
    test = images(options.shared / "cifar10-jpeg" / "test.parquet")
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    rows = []
    for case in options.cases:
        depth, speedup = case.split(":")
        rows.append(compare(int(depth), float(speedup), options.shared, train, validation, test))
        print(json.dumps(rows[-1]), flush=True)
        found = {"date": date.today().isoformat(), "machine": machine, "rows": rows}
        (options.out / "results.json").write_text(json.dumps(found, indent=1) + "\n")
        (options.out / "results.md").write_text(table(rows, machine))


if __name__ == "__main__":
    main()
