"""One-shot shrinking without training: netsmith against Torch-Pruning on trained CIFAR ResNets.

    python benchmarks/oneshot/run.py [--shared ../shared/data] [--cases 20:1.5 20:2 56:2] [--seeds 0 1 2] [--peer]

Both get the same network and the same limit on MACs. netsmith sees 1,024 training images without labels: it measures
the error curve of every axis once a network, divides each budget by them, and repairs with the images and their mirror
images (these networks were trained on both). Torch-Pruning sees 512 of them with
labels; its best of six criteria × two scopes is reported, chosen on validation images, before and after recomputing
BatchNorm statistics on 2,000 augmented training images. It takes minutes a case: without --peer the figures of earlier
runs in results.json are kept. The seed chooses the calibration images. Test images are looked at once per network.
Writes results.json and results.md. `ablation.py` shows what each ingredient is worth.
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
from netsmith.data import Pixels, batches, mirrored, parquet
from netsmith.evidence.products import products_in
from netsmith.recovery import repair
from netsmith.searches import Curves, allocate, measure_curves
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


def trained(depth: int, shared: Path) -> nn.Module:
    model = cifar_resnet(depth).eval()
    model.load_state_dict(load_file(shared / "resnet-cifar10" / f"resnet{depth}-jpeg.safetensors"))
    return model


def shrunk(curves: Curves, speedup: float, calibration: list[Tensor], test: Any, seed: int) -> dict[str, Any]:
    """What ``netsmith.shrink`` does, with the curves of one pass for all budgets."""
    wiring = curves.wiring
    x = wiring.example_inputs
    start, busy = time.perf_counter(), time.process_time()
    plan = allocate(curves, netsmith.Budget(macs=1 / speedup))
    with products_in("auto"):
        done = repair(wiring, plan, mirrored(calibration), seed=seed)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    before, after = netsmith.measure(wiring.model, x), netsmith.measure(done.model, x)
    return {
        "netsmith": accuracy(done.model, test),
        "netsmith_allocation": "error curves",
        "netsmith_images": sum(len(batch) for batch in calibration),
        "netsmith_seconds": round(seconds, 1),
        "netsmith_cpu_seconds": round(busy, 1),
        "netsmith_macs_share": round(after.macs / before.macs, 4),
        "netsmith_params_share": round(after.params / before.params, 4),
        "netsmith_widths": {edit.axis: len(edit.keep) for edit in done.plan.edits},
        "verified": netsmith.verify(wiring.model, done.model, done.plan, x).ok,
    }


def peers(model: nn.Module, speedup: float, train: Any, validation: Any, test: Any) -> dict[str, Any]:
    x = test[0][:1]
    whole = netsmith.measure(model, x).macs
    found: dict[str, Any] = {}
    plain: list[tuple[float, str, nn.Module]] = []
    again: list[tuple[float, str, nn.Module]] = []
    for name, network in pruned(model, x, 1 / speedup, (train[0][:512], train[1][:512])):
        plain.append((accuracy(network, validation), name, network))
        network = recalibrated(network, augmented(train[0][:2000]))
        again.append((accuracy(network, validation), name, network))
    for key, candidates in (("torch_pruning", plain), ("torch_pruning_recalibrated", again)):
        _, name, network = max(candidates, key=lambda c: c[0])
        found[key], found[f"{key}_criterion"] = accuracy(network, test), name
        found[f"{key}_macs_share"] = round(netsmith.measure(network, x).macs / whole, 4)
    return found


def table(rows: list[dict[str, Any]], machine: str) -> str:
    lines = [
        "# One-shot shrinking without training",
        "",
        "Accuracy in percent on the 5,000 shared test images; written by `run.py`.",
        f"{date.today().isoformat()}, {machine}.",
        "Widths allocated by error curves after repair; 1,024 unlabelled images, chosen by the seed, and for repair "
        "their mirror images; mean of the seeds and (lowest – highest). Seconds of one thread's work: a budget (+ "
        "curves, once a network). –: not run.",
        "",
        "| network | MACs | original | Torch-Pruning's best | … + BatchNorm recalibration | netsmith | seeds | s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for key in dict.fromkeys((row["network"], row["speedup"]) for row in rows):
        same = [row for row in rows if (row["network"], row["speedup"]) == key]
        first = next((row for row in same if "torch_pruning" in row), same[0])
        again = first.get("torch_pruning_recalibrated")
        theirs = f"{again} ({first['torch_pruning_recalibrated_criterion']})" if again is not None else "–"
        ours = [row["netsmith"] for row in same]
        spread = f" ({min(ours):.2f} – {max(ours):.2f})" if len(ours) > 1 else ""
        seconds, curves = (
            sum(row[k] for row in same) / len(same) for k in ("netsmith_cpu_seconds", "curve_cpu_seconds")
        )
        lines.append(
            f"| {key[0]} | ÷{key[1]:g} | {first['original']} | {first.get('torch_pruning', '–')} | {theirs} | "
            f"**{sum(ours) / len(ours):.2f}**{spread} | {len(ours)} | {seconds:.0f} (+ {curves:.0f}) |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=here.parents[2] / "shared" / "data")
    cases = [f"{depth}:{speedup}" for depth in (20, 56) for speedup in ("1.5", "2", "2.57", "3")]
    parser.add_argument("--cases", nargs="+", default=cases, help="depth:speedup")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--peer", action="store_true", help="run Torch-Pruning too")
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args()
    if not options.shared.is_dir():
        sys.exit(f"{options.shared} is absent: this benchmark needs the shared networks and images")
    test = images(options.shared / "cifar10-jpeg" / "test.parquet")
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    kept = options.out / "results.json"
    earlier = json.loads(kept.read_text())["rows"] if kept.is_file() else []
    rows = {(r["network"], r["speedup"], r["seed"]): r for r in earlier}
    for depth, seed in dict.fromkeys((int(case.split(":")[0]), s) for s in options.seeds for case in options.cases):
        model = trained(depth, options.shared)
        train = images(options.shared / "cifar10-jpeg" / "train.parquet", 3024, seed)
        calibration = list(train[0][:1024].split(64))
        validation = (train[0][2000:], train[1][2000:])
        busy = time.process_time()
        with products_in("auto"):
            curves = measure_curves(netsmith.trace(model, test[0][:1]), calibration, seed=seed)
        busy = round(time.process_time() - busy, 1)
        original = accuracy(model, test)
        for speedup in (float(case.split(":")[1]) for case in options.cases if int(case.split(":")[0]) == depth):
            key = (f"resnet{depth}-jpeg", speedup, seed)
            row = {"network": key[0], "speedup": speedup, "seed": seed, "original": original}
            row |= {k: v for k, v in rows.get(key, {}).items() if k.startswith("torch_pruning")}
            row |= shrunk(curves, speedup, calibration, test, seed) | {"curve_cpu_seconds": busy}
            if options.peer:
                row |= peers(model, speedup, train, validation, test)
            rows[key] = row
            print(json.dumps(row), flush=True)
            ordered = [rows[k] for k in sorted(rows, key=lambda k: (len(k[0]), k))]
            found = {"date": date.today().isoformat(), "machine": machine, "rows": ordered}
            kept.write_text(json.dumps(found, indent=1) + "\n")
            (options.out / "results.md").write_text(table(ordered, machine))


if __name__ == "__main__":
    main()
