"""Three families at half of the multiply-accumulates, without training: netsmith against Torch-Pruning.

    python benchmarks/families/run.py [--shared ../shared/data] [--cache build/families] [--networks ViT] [--peer]

VGG-16-BN and MobileNetV2 are trained here on cifar10-jpeg (a quarter of an hour each on one quiet CPU thread),
MobileNetV2 and a ViT on scikit-learn's digits (two minutes); once, then they lie in the cache. netsmith sees 1,024
training images without labels. Its ingredients are shown one by one. Torch-Pruning sees 512 of them with labels; the
best of its settings is reported, chosen on validation images that nothing was trained on, before and after recomputing
BatchNorm statistics on training images. Without --peer its figures of earlier runs in results.json are kept. Test
images are looked at once per network. Writes results.json and results.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch
from networks import NETWORKS, Images, Network, augmented, trained
from peers import pruned
from torch import Tensor, nn

import netsmith
from netsmith.data import digits, mirrored
from netsmith.recovery import compensate, repair
from netsmith.searches import allocate, measure_curves

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.resolve().parent / "oneshot"))
from peer import recalibrated  # noqa: E402
from run import accuracy, images  # noqa: E402

SEED, HELD_OUT = 0, 2000  # training images of cifar10-jpeg that only choose


def load(data: str, shared: Path) -> tuple[Images, Images, Images]:
    """Training, validation and test images."""
    if data == "digits":
        splits = digits(SEED)
        return tuple((each.images, each.labels) for each in (splits.train, splits.validation, splits.test))
    if not shared.is_dir():
        sys.exit(f"{shared} is absent: these networks need the shared images")
    x, y = images(shared / data / "train.parquet", 50_000, SEED)
    test = images(shared / data / "test.parquet")
    return (x[:-HELD_OUT], y[:-HELD_OUT]), (x[-HELD_OUT:], y[-HELD_OUT:]), test


def ours(
    model: nn.Module, x: Tensor, budget: netsmith.Budget, calibration: list[Tensor], test: Images, mirrors: bool
) -> Any:
    """What ``netsmith.shrink`` does with data, and its ingredients: name -> figures."""
    wiring = netsmith.trace(model, x)
    start = time.process_time()
    plan = allocate(measure_curves(wiring, calibration, seed=SEED), budget)
    planning = time.process_time() - start

    def plain() -> tuple[nn.Module, netsmith.Plan]:
        even = netsmith.plan_removal(wiring, budget=budget)
        return netsmith.apply(model, even), even

    def uniform() -> tuple[nn.Module, netsmith.Plan]:
        done = compensate(wiring, netsmith.plan_removal(wiring, budget=budget), calibration, seed=SEED)
        return done.model, done.plan

    def allocated() -> tuple[nn.Module, netsmith.Plan]:
        done = compensate(wiring, plan, calibration, seed=SEED)
        return done.model, done.plan

    def whole(data: Any = calibration) -> tuple[nn.Module, netsmith.Plan]:
        done = repair(wiring, plan, data, seed=SEED)
        return done.model, done.plan

    methods: dict[str, Callable[[], tuple[nn.Module, netsmith.Plan]]] = {
        "netsmith, uniform widths, no repair": plain,
        "netsmith, uniform widths, repaired": uniform,
        "netsmith, widths allocated, repaired": allocated,
        "netsmith": whole,
    }
    if mirrors:
        methods["netsmith, repaired with mirror images too"] = lambda: whole(mirrored(calibration))
    found: dict[str, Any] = {}
    for name, make in methods.items():
        start = time.process_time()
        small, made = make()
        seconds = time.process_time() - start + (0 if "uniform" in name else planning)
        found[name] = figures(small.eval(), model, x, test, seconds) | {
            "verified": netsmith.verify(model, small, made, x).ok,
            "widths": {edit.axis: len(edit.keep) for edit in made.edits},
            "left": dict(made.left),
        }
        print(name, json.dumps(found[name]), flush=True)
    return found


def theirs(
    network: Network, model: nn.Module, x: Tensor, share: float, train: Images, validation: Images, test: Images
) -> Any:
    """Torch-Pruning's best setting on the validation images, with and without recalibration: name -> figures."""
    start = time.process_time()
    normalized = any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    seen = train[0][:2000]  # as in training: photographs cropped and mirrored, digits as they are
    seen = seen if network.data == "digits" else augmented(seen, torch.Generator().manual_seed(SEED))
    kinds = {"Torch-Pruning": lambda small: small}
    if normalized:
        kinds["Torch-Pruning + BatchNorm recalibration"] = lambda small: recalibrated(small, seen)
    best: dict[str, tuple[float, str, nn.Module]] = {}
    for setting, small in pruned(model, x, share, (train[0][:512], train[1][:512]), network.heads):
        for kind, finish in kinds.items():
            done = finish(small)
            right = accuracy(done, validation)
            if kind not in best or right > best[kind][0]:
                best[kind] = (right, setting, done)
    seconds = time.process_time() - start
    found = {k: figures(small, model, x, test, seconds) | {"setting": s} for k, (_, s, small) in best.items()}
    print(json.dumps(found), flush=True)
    return found


def figures(small: nn.Module, model: nn.Module, x: Tensor, test: Images, seconds: float) -> dict[str, Any]:
    before, after = netsmith.measure(model, x), netsmith.measure(small, x)
    return {
        "accuracy": accuracy(small, test),
        "macs_share": round(after.macs / before.macs, 4),
        "params_share": round(after.params / before.params, 4),
        "cpu_seconds": round(seconds, 1),
    }


def table(rows: dict[str, dict[str, Any]], machine: str) -> str:
    lines = [
        "# Three families at half of the multiply-accumulates, without training",
        "",
        f"Written by `run.py`. {date.today().isoformat()}, {machine}.",
        f"Accuracy in percent on test images; 1,024 unlabelled calibration images; seed {SEED}. Seconds of one "
        "thread's work; Torch-Pruning: all of its settings.",
        "",
        "| network | method | accuracy | MACs | parameters | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        whole = f"{row['macs'] / 1e6:.1f} M | {row['params'] / 1e6:.2f} M"
        lines.append(
            f"| {name} ({row['data']}, {row['test_images']:,} images) | original | {row['original']} | {whole} | |"
        )
        for method, f in row["methods"].items():
            said = f"{method} ({f['setting']})" if "setting" in f else method
            value = f"**{f['accuracy']}**" if method == "netsmith" else f["accuracy"]
            lines.append(
                f"| | {said} | {value} | {f['macs_share']:.1%} | {f['params_share']:.1%} | {f['cpu_seconds']} |"
            )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=HERE.parents[2] / "shared" / "data")
    parser.add_argument("--cache", type=Path, default=Path("build/families"), help="where trained weights are kept")
    measured = [name for name in NETWORKS if name != "MobileNetV2"]  # the one on CIFAR trains for an hour on two cores
    parser.add_argument("--networks", nargs="+", default=measured, choices=list(NETWORKS))
    parser.add_argument("--speedup", type=float, default=2.0)
    parser.add_argument("--peer", action="store_true", help="run Torch-Pruning too")
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    kept = options.out / "results.json"
    rows = json.loads(kept.read_text())["rows"] if kept.is_file() else {}
    for name in options.networks:
        network = NETWORKS[name]
        train, validation, test = load(network.data, options.shared)
        model = trained(name, train, options.cache, SEED)
        x, calibration = test[0][:1], list(train[0][:1024].split(64))
        cost = netsmith.measure(model, x)
        row = {"data": network.data, "test_images": len(test[0]), "macs": cost.macs, "params": cost.params}
        row |= {"seed": SEED, "speedup": options.speedup, "original": accuracy(model, test)}
        print(name, json.dumps(row), flush=True)
        earlier = rows.get(name, {}).get("methods", {})
        methods = {method: f for method, f in earlier.items() if method.startswith("Torch-Pruning")}
        if options.peer:
            methods = theirs(network, model, x, 1 / options.speedup, train, validation, test)
        methods |= ours(
            model, x, netsmith.Budget(macs=1 / options.speedup), calibration, test, network.data != "digits"
        )
        rows[name] = row | {"methods": methods}
        rows = {key: rows[key] for key in NETWORKS if key in rows}
        found = {"date": date.today().isoformat(), "machine": machine, "rows": rows}
        kept.write_text(json.dumps(found, indent=1) + "\n")
        (options.out / "results.md").write_text(table(rows, machine))


if __name__ == "__main__":
    main()
