"""The front of a search on a trained CIFAR ResNet, against uniform shrinking and Torch-Pruning.

    python benchmarks/search/cifar.py [--shared ../shared/data] [--depth 56] [--seeds 0] [--budgets 0.5 0.25 0.75]
        [--methods torch-pruning allocation] [--trials 3] [--steps 80]

With the shared networks and images. 512 training images repair; 10,000, as random crops and half of them mirrored,
heal; 2,000 others choose, by their cross-entropy; the 5,000 test images are looked at once, for the figures. For each
budget a search by error curves judges so many structures after repair and heals the best; the uniform structure is
repaired and healed beside them. Torch-Pruning ranks over all layers by six criteria; their networks, BatchNorm
statistics recomputed, are compared on the images that choose, and the best two healed. Healing is the same for all: so
many steps of distillation from the original on the same crops, undone where they make it worse. The seed chooses all
images but the test images. What was found for other depths, seeds and budgets is kept. Writes cifar.json and cifar.md.
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
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import netsmith
from netsmith.training import distil

sys.path.append(str(Path(__file__).parents[1] / "oneshot"))
from peer import pruned, recalibrated
from run import augmented, images, trained

REPAIR, HEAL, VALIDATION, BATCH = 512, 10_000, 2000, 128  # a fifth of what repairs measures the divergence instead
RATE = 0.03
METHODS = ("torch-pruning", "uniform", "allocation")
Labelled = tuple[Tensor, Tensor]
NOTES = """
Torch-Pruning cannot read option-A shortcuts, so as its users do it prunes the inner width of each block. Healing is one
pass over 10,000 images: at 25 % that is too short for a network that starts from plain removal, and more of it would
bring all closer together (../healing has longer runs). On resnet56 a budget takes ten minutes of one core to search and
four for Torch-Pruning; budgets and seeds that are absent were not run for want of time.
"""


class Crops:
    """Batches of augmented images, the same in every pass, so that the teacher is asked once."""

    def __init__(self, data: Labelled, steps: int, seed: int) -> None:
        x, y = data
        generator = torch.Generator().manual_seed(seed)
        rows = torch.cat([torch.randperm(len(x), generator=generator) for _ in range(-(-steps * BATCH // len(x)))])
        self.x, self.y, self.rows = x, y, rows[: steps * BATCH].split(BATCH)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Labelled]:
        for i, rows in enumerate(self.rows):
            yield augmented(self.x[rows], seed=i).contiguous(memory_format=torch.channels_last), self.y[rows]


@torch.no_grad()
def scores(model: nn.Module, data: Labelled) -> dict[str, float]:
    model.eval()
    out = torch.cat([model(x.contiguous(memory_format=torch.channels_last)) for x in data[0].split(250)])
    accuracy = float((out.argmax(1) == data[1]).float().mean())
    return {"loss": float(cross_entropy(out, data[1])), "accuracy": accuracy}


class Curves:
    """Seconds of this process between the original's evaluation and the last error curve."""

    def __init__(self, evaluate: Callable[[nn.Module], dict[str, float]]) -> None:
        self._evaluate, self._start, self.seconds = evaluate, None, 0.0

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        found = self._evaluate(model)
        self._start = time.process_time() if self._start is None else self._start
        return found

    def progress(self, what: str, done: int, total: int) -> None:
        if what == "curves" and done == total:
            self.seconds = round(time.process_time() - (self._start or 0.0), 1)


def torch_pruned(
    model: nn.Module, example: Tensor, share: float, train: Labelled, validation: Labelled
) -> list[tuple[float, str, nn.Module]]:
    """(validation loss, criterion, network) by each criterion, BatchNorm statistics recomputed."""
    found = []
    for name, network in pruned(model, example, share, (train[0][:256], train[1][:256]), scopes=["global"]):
        again = recalibrated(network, augmented(train[0][:2000]))
        found.append((scores(again, validation)["loss"], name, again))
    return found


def rows_of(options: argparse.Namespace, seed: int, add: Callable[[dict[str, Any]], None], scratch: Path) -> None:
    model = trained(options.depth, options.shared).to(memory_format=torch.channels_last)
    x, y = images(options.shared / "cifar10-jpeg" / "train.parquet", HEAL + VALIDATION, seed)
    train, validation = (x[:HEAL], y[:HEAL]), (x[HEAL:], y[HEAL:])
    test = images(options.shared / "cifar10-jpeg" / "test.parquet")
    example, whole = test[0][:1], netsmith.measure(model, test[0][:1]).macs
    crops = Crops(train, options.steps, seed)

    def heal(edited: nn.Module, original: nn.Module) -> nn.Module:
        return distil(
            edited.to(memory_format=torch.channels_last),
            original,
            crops,
            steps=options.steps,
            lr=RATE,
            precision="bf16",
            cache=scratch / f"teacher{options.depth}-{seed}",
            seed=seed,
        )

    def told(method: str, share: float | None, network: nn.Module, start: float, **more: Any) -> None:
        found = {"depth": options.depth, "seed": seed, "method": method, "budget": share}
        found |= {"macs_share": netsmith.measure(network, example).macs / whole, "steps": options.steps}
        found |= {f"validation_{k}": v for k, v in scores(network, validation).items()}
        found |= {f"test_{k}": v for k, v in scores(network, test).items()}
        add(found | {"cpu_seconds": round(time.process_time() - start, 1)} | more)

    told("original", None, model, time.process_time())
    data = list(zip(train[0][:REPAIR].split(64), train[1][:REPAIR].split(64), strict=True))
    for share in options.budgets:
        if "torch-pruning" in options.methods:
            start = time.process_time()
            tried = torch_pruned(model, example, share, train, validation)
            finalists = []
            for loss, name, network in sorted(tried, key=lambda t: t[:2])[:2]:
                healed = heal(network, model)
                finalists += [(loss, name, network), (scores(healed, validation)["loss"], name, healed)]
            _, name, network = min(finalists, key=lambda f: f[:2])
            told("torch-pruning", share, network, start, criterion=name)
        if "allocation" not in options.methods:
            continue
        start = time.process_time()
        curves = Curves(lambda m: scores(m, validation))
        study = netsmith.search(
            model,
            example,
            data=data,
            budgets=netsmith.Budget(macs=share),
            evaluate=curves.evaluate,
            minimize="loss",
            trials=options.trials,
            heal=heal,
            finalists=1,
            seed=seed,
            storage=scratch / f"{options.depth}-{seed}-{share}",
            progress=curves.progress,
        )
        for origin in ("allocation", "uniform"):
            best = next(c for c in study.final if c.origin == origin)
            built = study.build(best)
            more = {"verified": built.verdict.ok, "widths": dict(best.structure.widths)}
            repaired = [c for c in study.candidates if c.structure == best.structure and not c.healed]
            more["validation_accuracy_repaired"] = repaired[0].scores["accuracy"] if repaired else None
            told(origin, share, built.model, start, curve_cpu_seconds=curves.seconds, **more)


def table(rows: list[dict[str, Any]], machine: str, trials: int) -> str:
    lines = [
        "# Search on the CIFAR ResNets",
        "",
        f"Written by `cifar.py`. {date.today().isoformat()}, {machine}.",
        f"{trials} structures judged a budget, the best healed; Torch-Pruning: the best two of six criteria healed. "
        f"All chosen by the loss of {VALIDATION:,} validation images. Accuracy (and cross-entropy) on the 5,000 test "
        "images, mean of the seeds; with one seed the standard error of an accuracy is 0.5 points. –: not run. Bold: "
        "the lowest loss.",
    ]
    for depth in sorted({row["depth"] for row in rows}):
        here = [row for row in rows if row["depth"] == depth]
        first = [row for row in here if row["method"] == "original"]
        seeds = ", ".join(map(str, sorted({row["seed"] for row in here})))
        took = [row["curve_cpu_seconds"] for row in here if row["method"] == "allocation"]
        lines += [
            "",
            f"resnet{depth}-jpeg, {_mean(first, 'test_accuracy'):.2%} ({_mean(first, 'test_loss'):.3f}); seeds "
            f"{seeds}; {first[0]['steps']} steps of {BATCH} images heal. The error curves took "
            f"{statistics.median(took) if took else 0:.0f} s of one core.",
            "",
            "| MACs | " + " | ".join(METHODS) + " | seeds |",
            "|---" * (len(METHODS) + 2) + "|",
        ]
        for share in sorted({row["budget"] for row in here if row["budget"]}, reverse=True):
            same = {m: [r for r in here if r["method"] == m and r["budget"] == share] for m in METHODS}
            losses = {m: _mean(same[m], "test_loss") for m in METHODS if same[m]}
            cells = []
            for method in METHODS:
                cell = f"{_mean(same[method], 'test_accuracy'):.2%} ({losses[method]:.3f})" if same[method] else "–"
                best = len(losses) > 1 and losses.get(method) == min(losses.values())
                cells.append(f"**{cell}**" if best else cell)
            run = " / ".join(str(len(same[method])) for method in METHODS)
            lines.append(f"| {share:.1%} | " + " | ".join(cells) + f" | {run} |")
    return "\n".join([*lines, NOTES])


def _mean(rows: list[dict[str, Any]], key: str) -> float:
    return statistics.fmean(row[key] for row in rows)


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=here.parents[2] / "shared" / "data")
    parser.add_argument("--depth", type=int, default=56)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--budgets", nargs="+", type=float, default=[0.5, 0.25, 0.75])
    parser.add_argument("--methods", nargs="+", default=["torch-pruning", "allocation"], help="allocation: uniform too")
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args()
    if not options.shared.is_dir():
        sys.exit(f"{options.shared} is absent: this benchmark needs the shared networks and images")
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    kept = options.out / "cifar.json"
    earlier = json.loads(kept.read_text())["rows"] if kept.is_file() else []
    rows = {(row["depth"], row["seed"], row["method"], row["budget"]): row for row in earlier}

    def add(row: dict[str, Any]) -> None:
        print(json.dumps(row), flush=True)
        rows[row["depth"], row["seed"], row["method"], row["budget"]] = row
        found = {
            "date": date.today().isoformat(),
            "machine": machine,
            "trials": options.trials,
            "rows": [*rows.values()],
        }
        kept.write_text(json.dumps(found, indent=1) + "\n")
        (options.out / "cifar.md").write_text(table([*rows.values()], machine, options.trials))

    with tempfile.TemporaryDirectory() as scratch:
        for seed in options.seeds:
            rows_of(options, seed, add, Path(scratch))


if __name__ == "__main__":
    main()
