"""Cascades of CIFAR ResNets of two sizes, pruned ones among them: the large one's accuracy for less work.

    python benchmarks/ensembles/cascades.py [--shared ../shared/data] [--keep DIR]

Thresholds and temperatures are chosen on 2,500 training images that prune nothing, once as they are and once cropped
and mirrored at random as in training. Both networks have learnt these very images, so they are surer there than on the
test images; what that does to the choice is in the table. Test images are looked at once per cascade. `--keep`
keeps pruned networks and all outputs between runs. Writes cascades.json and cascades.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import netsmith
from netsmith.combining.ensembles import Cascade, Outputs, cascade, gather, judge, parallel
from netsmith.combining.ensembles.quality import macs_of
from netsmith.combining.ensembles.recorded import recorded, with_members
from netsmith.data import Pixels, parquet
from netsmith.errors import BudgetError
from netsmith.files import load_ensemble, save_ensemble
from netsmith.plans import Plan
from netsmith.recovery import repair
from netsmith.searches import allocate, measure_curves
from netsmith.zoo import cifar_resnet

sys.path.insert(0, str(Path(__file__).parents[1] / "oneshot"))
from run import MEAN, STD, augmented, images, trained

CASCADES = [
    ("resnet20", "resnet56"),
    ("resnet20÷1.5", "resnet56"),
    ("resnet20", "resnet56÷2"),
    ("resnet20", "resnet56÷2", "resnet56"),
    ("resnet20÷1.5", "resnet20", "resnet56"),
]
CALIBRATION, VALIDATION = 384, 2500  # training images: to prune with, to choose thresholds on
SHARE = 0.45  # of resnet56's MACs: the target cost


def some(path: Path, count: int) -> tuple[Tensor, Tensor]:
    """So many images of a file, drawn at random."""
    dataset = parquet(path, pixels=Pixels(mean=MEAN, std=STD))
    rows = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0))[:count]
    found = {int(row): dataset[int(row)] for row in rows.sort().values}  # in order: groups of rows are read once
    return torch.stack([found[int(row)][0] for row in rows]), torch.tensor([found[int(row)][1] for row in rows])


def pruned(
    depth: int, speedup: float, calibration: list[Tensor], shared: Path, kept: Path | None
) -> tuple[nn.Module, Plan]:
    """A network at a share of its MACs, without training, and the plan that made it."""
    folder = None if kept is None else kept / f"resnet{depth}-{speedup:g}"
    if folder is not None and folder.is_dir():
        return netsmith.load(folder, lambda: cifar_resnet(depth)), netsmith.files.load_plan(folder)
    model = trained(depth, shared)
    wiring = netsmith.trace(model, calibration[0][:1])
    plan = allocate(measure_curves(wiring, calibration, seed=0), netsmith.Budget(macs=1 / speedup))
    done = repair(wiring, plan, calibration, seed=0)
    if folder is not None:
        netsmith.save(done.model, folder, plan=done.plan)
    return done.model, done.plan


def gathered(models: dict[str, nn.Module], data: tuple[Tensor, Tensor], name: str, kept: Path | None) -> Outputs:
    """What the networks say of a set of images."""
    scores = []
    for network, model in models.items():
        file = None if kept is None else kept / f"{name}-{network}.safetensors".replace(" ", "-").replace("÷", "-")
        if file is not None and file.is_file():
            scores.append(load_file(file)["scores"])
            continue
        found = gather({network: model}, zip(data[0].split(250), data[1].split(250), strict=True))
        scores.append(found.scores[0])
        if file is not None:
            save_file({"scores": scores[-1]}, file)
    return Outputs(tuple(models), torch.stack(scores), data[1])


def reached(model: Cascade, outputs: Outputs) -> list[float]:
    """Share of the examples that each member sees."""
    stand_in = with_members(model, recorded(outputs))
    assert isinstance(stand_in, Cascade)
    return stand_in.reached([torch.arange(len(outputs.labels))])


def times(models: dict[str, nn.Module], x: Tensor, batch: int, rounds: int = 3) -> dict[str, float]:
    """Name -> mean over batches of the median milliseconds of a call, models in turn on each batch."""
    taken: dict[str, list[float]] = {name: [] for name in models}
    with torch.inference_mode():
        for part in x.split(batch):
            trials: dict[str, list[float]] = {name: [] for name in models}
            for _ in range(rounds):
                for name, model in models.items():
                    start = time.perf_counter()
                    model(part)
                    trials[name].append((time.perf_counter() - start) * 1e3)
            for name, each in trials.items():
                taken[name].append(statistics.median(each))
    return {name: round(statistics.mean(each), 3) for name, each in taken.items()}


def part(outputs: Outputs, names: tuple[str, ...]) -> Outputs:
    rows = [outputs.names.index(name) for name in names]
    return Outputs(names, outputs.scores[rows], outputs.labels)


def reloads(model: Cascade, plans: dict[str, Plan], x: Tensor) -> bool:
    """Whether one saved folder, loaded again, answers the same."""
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        save_ensemble(model, Path(folder) / "out", plans={n: p for n, p in plans.items() if n in model.names})
        builders = {n: (lambda d=int(n[6:8]): cifar_resnet(d)) for n in model.names}
        return bool(torch.equal(load_ensemble(Path(folder) / "out", builders)(x), model(x)))


def table(found: dict[str, Any]) -> str:
    alone = {row["network"]: row for row in found["alone"]}
    lines = [
        "# Cascades of ResNets on CIFAR-10 (JPEG)",
        "",
        "Accuracy in percent on the 5,000 shared test images (standard error 0.45); written by `cascades.py`.",
        f"{found['date']}, {found['machine']}.",
        "Temperatures and thresholds chosen on 2,500 training images; MACs as shares of resnet56's "
        f"({alone['resnet56']['macs']:,.0f}); ms: one thread, mean over 150 test images (batch 1) or 320 (batch 32) of "
        "the median of 3 calls, all networks in turn.",
        "",
        "| alone | accuracy | F1 | ECE | MACs | ms, batch 1 | ms, batch 32 |",
        "|---|---|---|---|---|---|---|",
    ]
    whole = alone["resnet56"]["macs"]
    for row in found["alone"]:
        lines.append(
            f"| {row['network']} | {row['accuracy']:.2f} | {row['f1']:.2f} | {row['ece']:.3f} | "
            f"{row['macs'] / whole:.3f} | {row['ms_1']} | {row['ms_32']} |"
        )
    lines += [
        "",
        "| cascade | answers with | chosen on | chosen for | accuracy | F1 | ECE | mean MACs | worst | go on | "
        "ms, batch 1 | ms, batch 32 |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in found["cascades"]:
        head = f"| {' → '.join(row['members'])} | {row['combine']} | {row['validation']} | {row['target']} |"
        if "accuracy" not in row:
            lines.append(f"{head} not reachable | | | | | | | |")
            continue
        ms = [row.get(key, "") for key in ("ms_1", "ms_32")]
        lines.append(
            f"{head} {row['accuracy']:.2f} | {row['f1']:.2f} | {row['ece']:.3f} | {row['mean_share']:.3f} | "
            f"{row['worst_share']:.3f} | {', '.join(f'{s:.0%}' for s in row['reached'][1:])} | {ms[0]} | {ms[1]} |"
        )
    reachable = [r for r in found["cascades"] if "accuracy" in r and "accuracy" in r["target"]]
    for name in dict.fromkeys(r["validation"] for r in reachable):
        same = [r for r in reachable if r["validation"] == name]
        good = [r for r in same if r["accuracy"] >= alone["resnet56"]["accuracy"]]
        cheap = [r for r in good if r["mean_share"] <= 0.5]
        lines += [
            "",
            f"Chosen for resnet56's accuracy on the images {name}: {len(good)} of {len(same)} cascades are at least as "
            f"accurate as resnet56 on test, {len(cheap)} of them for at most half of its mean MACs.",
        ]
    return "\n".join([*lines, ""])


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=here.parents[2] / "shared" / "data")
    parser.add_argument("--pruned", nargs="*", default=["20:1.5"], help="depth:speedup, e.g. 20:1.5 56:2")
    parser.add_argument("--keep", type=Path, help="folder for pruned networks and outputs")
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args()
    if not options.shared.is_dir():
        sys.exit(f"{options.shared} is absent: this benchmark needs the shared networks and images")
    torch.set_num_threads(1)
    train = some(options.shared / "cifar10-jpeg" / "train.parquet", CALIBRATION + VALIDATION)
    calibration = list(train[0][:CALIBRATION].split(64))
    models: dict[str, nn.Module] = {f"resnet{d}": trained(d, options.shared) for d in (20, 56)}
    plans: dict[str, Plan] = {}
    for depth, speedup in ((int(case.split(":")[0]), float(case.split(":")[1])) for case in options.pruned):
        name = f"resnet{depth}÷{speedup:g}"
        models[name], plans[name] = pruned(depth, speedup, calibration, options.shared, options.keep)
    test = images(options.shared / "cifar10-jpeg" / "test.parquet")
    x, y = train[0][CALIBRATION:], train[1][CALIBRATION:]
    sets = {"as they are": (x, y), "augmented": (augmented(x, 1), y), "test": test}
    outputs = {name: gathered(models, each, name, options.keep) for name, each in sets.items()}
    tested = outputs.pop("test")
    one = test[0][:1]
    costs = macs_of(models, one)
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    found: dict[str, Any] = {"date": date.today().isoformat(), "machine": machine, "alone": [], "cascades": []}
    made: dict[str, nn.Module] = dict(models)
    for members in (chain for chain in CASCADES if all(name in models for name in chain)):
        for name, seen in outputs.items():
            big = float((seen.scores[seen.names.index("resnet56")].argmax(1) == seen.labels).double().mean())
            targets = {
                "resnet56's accuracy there": {"target_accuracy": big},
                f"{SHARE:.0%} of its MACs": {"target_cost": SHARE * costs["resnet56"]},
            }
            for (target, limit), combine in ((t, c) for t in targets.items() for c in ("last", "mean")):
                row: dict[str, Any] = {"members": members, "combine": combine, "validation": name, "target": target}
                found["cascades"].append(row)
                chain, costly = {m: models[m] for m in members}, [costs[m] for m in members]
                try:
                    model = cascade(chain, part(seen, members), costs=costly, combine=combine, **limit)
                except BudgetError:
                    continue
                quality = judge(model, tested, costs)
                row |= {"accuracy": 100 * quality.accuracy, "f1": 100 * quality.f1, "ece": quality.ece}
                row |= {"mean_share": quality.mean_macs / costs["resnet56"]}
                row |= {"worst_share": quality.worst_macs / costs["resnet56"], "reached": reached(model, tested)}
                row |= {"thresholds": model.thresholds.tolist(), "temperatures": model.temperatures.tolist()}
                if name == "as they are" and "accuracy" in target:
                    row["reloaded_equal"] = reloads(model, plans, test[0][:100])
                    made[str(len(found["cascades"]) - 1)] = model
                print(json.dumps(row), flush=True)
    ms = {f"ms_{size}": times(made, test[0][:count], size) for size, count in ((1, 150), (32, 320))}
    for name, model in models.items():
        quality = judge(parallel({name: model}, rule="logits"), tested, costs)
        row = {"network": name, "accuracy": 100 * quality.accuracy, "f1": 100 * quality.f1, "ece": quality.ece}
        found["alone"].append(row | {"macs": costs[name], **{key: each[name] for key, each in ms.items()}})
    for number, row in enumerate(found["cascades"]):
        if str(number) in made:
            row |= {key: each[str(number)] for key, each in ms.items()}
    (options.out / "cascades.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.out / "cascades.md").write_text(table(found))


if __name__ == "__main__":
    main()
