"""The front of a search against uniform shrinking, random search and Torch-Pruning, on the digits ResNet.

    python benchmarks/search/digits.py [--seeds 0 1 2] [--budgets 0.25 0.375 0.5 0.625 0.75] [--trials 4]
        [--strategies allocation random]

A ResNet is trained on scikit-learn's digits (another split, other weights for each seed), and shrunk to each share of
its MACs. Searches judge so many structures a budget after repair, and the best few are healed. The uniform
structure goes through the same repair. Torch-Pruning prunes globally by six criteria, its users' way, and each of the
six is healed. Healing is the same for all: so many epochs of distillation on the training images, undone where they
make it worse. Everybody chooses by the cross-entropy on the validation part; the test part is looked at once, for the
figures. What was found for other seeds and budgets is kept. Writes digits.json and digits.md.

The task was settled on validation figures before any method's test figures on it were seen. The network that is shrunk
is trained on images shifted by up to a pixel: one trained on the images as they are fits all of them (loss 0.0006, on
the validation part 0.06), and its outputs for them teach a smaller one little. It is narrow, so that fewer
multiply-accumulates cost accuracy. Healing sees the images as they are: on shifted ones it made every network worse
whose layers had been refitted together (ten of ten structures, one seed), because a small one cannot do both.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import torch
import torch_pruning as tp
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

import netsmith
from netsmith.data import Examples, Splits, batches, digits
from netsmith.training import distil, finetune
from netsmith.zoo import digits_resnet

WIDTH, TRAINING, HEALING, BATCH = 6, 24, 6, 64
FINALISTS = 3
METHODS = ("torch-pruning", "uniform", "random", "allocation")
NOTES = """

What this shows, on seeds 0 to 4: the aim (the front ahead of both at every budget from 25 % to 75 %) is not met. At
25 % the search is ahead of both, of Torch-Pruning by two standard errors. From 50 % on everybody is about as good
as the original, and who is first depends on whether cheaper networks count; most differences are about their
standard errors. That cheaper networks count, which is how `Study.best` chooses, was decided when the test figures
of seed 0 were known: read both tables. The choice between allocated and uniform widths by 288 validation images
costs more than it gains. Of the 30 networks of search, 8 were healed from layers refitted one by one. 37.5 % and
62.5 %, with random search, were run on another machine, where training gives other originals, so they stand by
themselves in between/digits.md: ahead of all three at 37.5 %, behind Torch-Pruning at 62.5 %, where everybody has the
accuracy of the original or more.

What was tried first (cross-entropy on the validation part of seed 0):

- The task used to be a network of width 8 trained on the images as they are; on one seed nobody was ahead
  throughout. It fits all training images (0.0005; validation 0.0585), so that healing on them harms: at 37.5 % the
  allocated widths went from 0.0715 after repair to 0.0810 (rate 0.02) and 0.0735 (0.005), the uniform ones from
  0.0879 to 0.0968 and 0.0943. With frozen BatchNorm statistics and the lower rate they ended at 0.0698 and 0.0940.
  Healing from plain removal was not compared there, so whether repair fits those images too closely is still open.
- Starts of healing on the task above, at 25 %, before -> after: allocated widths plainly pruned 1.82 -> 0.0933,
  layers refitted one by one 0.210 -> 0.0777, together 0.082 -> 0.0515; uniform widths 2.29 -> 0.1106, 0.221 ->
  0.0917 and 0.129 -> 0.1057. Repair is worth more than six epochs, and the better repair is not always the better
  start, so the search heals its best from both. Torch-Pruning's widths (L2) had 5.69 -> 0.1310 with its weights,
  0.205 -> 0.0720 and 0.089 -> 0.0815 after the two repairs.
- Healing on images shifted by up to a pixel: 0.082 -> 0.0938 (rate 0.02), 0.1286 (0.005), 0.1446 (0.001), 0.1301
  with frozen statistics. Repairing on shifted images: 0.106 before healing. New statistics after healing: 0.0515 ->
  0.0505, and 0.0938 -> 0.0991 after healing on shifted images.
- Stronger ridge was not tried.
"""


@torch.no_grad()
def scores(model: nn.Module, part: Examples) -> dict[str, float]:
    out = model.eval()(part.images)
    right = (out.argmax(1) == part.labels).float().mean()
    return {"loss": float(cross_entropy(out, part.labels)), "accuracy": float(right)}


class Shifted:
    """Batches of images moved by up to a pixel, otherwise in each pass."""

    def __init__(self, part: Examples, seed: int) -> None:
        self.part, self.seed, self.epoch = part, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.part) // BATCH)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(1000 * self.seed + self.epoch)
        padded = pad(self.part.images, (1, 1, 1, 1), value=float(self.part.images.min()))
        order = torch.randperm(len(padded), generator=generator)
        rows, columns = torch.randint(0, 3, (2, len(padded)), generator=generator).tolist()
        moved = torch.stack([p[:, r : r + 8, c : c + 8] for p, r, c in zip(padded, rows, columns, strict=True)])
        for chosen in order.split(BATCH):
            yield moved[chosen], self.part.labels[chosen]


def trained(splits: Splits, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = digits_resnet(width=WIDTH)
    return finetune(model, Shifted(splits.train, seed), epochs=TRAINING, lr=0.1, seed=seed)


def healed(edited: nn.Module, original: nn.Module, splits: Splits, seed: int) -> nn.Module:
    loader = batches(splits.train, BATCH, shuffle=True, seed=seed)
    return distil(edited, original, loader, epochs=HEALING, lr=0.02, seed=seed)


def criteria() -> dict[str, Any]:
    return {
        "magnitude L1": tp.importance.GroupMagnitudeImportance(p=1),
        "magnitude L2": tp.importance.GroupMagnitudeImportance(p=2),
        "BatchNorm scale": tp.importance.BNScaleImportance(),
        "LAMP": tp.importance.LAMPImportance(),
        "FPGM": tp.importance.FPGMImportance(),
        "Taylor": tp.importance.GroupTaylorImportance(),
    }


def torch_pruned(model: nn.Module, x: torch.Tensor, share: float, splits: Splits, importance: Any) -> nn.Module:
    """Globally pruned to at most this share of the MACs: the smallest ratio that fits."""
    limit = share * netsmith.measure(model, x).macs
    low, high, best = 0.0, 0.95, None
    for _ in range(7):  # to 0.7 points
        ratio = (low + high) / 2
        network = copy.deepcopy(model).eval()
        cross_entropy(network(splits.train.images[:512]), splits.train.labels[:512]).backward()
        pruner = tp.pruner.BasePruner(
            network,
            x,
            importance=importance,
            global_pruning=True,
            pruning_ratio=ratio,
            max_pruning_ratio=0.95,
            ignored_layers=[network.fc],
        )
        pruner.step()
        network.zero_grad(set_to_none=True)
        fits = netsmith.measure(network, x).macs <= limit
        low, high = (low, ratio) if fits else (ratio, high)
        best = network if fits else best
    assert best is not None
    return best.eval()


def rows_of(options: argparse.Namespace, seed: int, scratch: str, add: Callable[[dict[str, Any]], None]) -> None:
    splits = digits(seed)
    model = trained(splits, seed)
    x = splits.train.images[:BATCH]
    whole = netsmith.measure(model, x).macs
    loader = batches(splits.train, BATCH, shuffle=True, seed=seed)

    def heal(edited: nn.Module, original: nn.Module) -> nn.Module:
        return healed(edited, original, splits, seed)

    def told(method: str, share: float | None, network: nn.Module, seconds: float, **more: Any) -> None:
        found = {"seed": seed, "method": method, "budget": share}
        found["macs_share"] = netsmith.measure(network, x).macs / whole
        found |= {f"validation_{k}": v for k, v in scores(network, splits.validation).items()}
        found |= {f"test_{k}": v for k, v in scores(network, splits.test).items()}
        add(found | {"seconds": round(seconds, 1)} | more)

    told("original", None, model, 0.0)
    for share in options.budgets:
        start = time.process_time()
        tried = []
        for name, importance in criteria().items():
            pruned = torch_pruned(model, x, share, splits, importance)
            for network in (pruned, heal(pruned, model)):
                tried.append((scores(network, splits.validation)["loss"], name, network))
        _, name, network = min(tried, key=lambda t: t[:2])
        told("torch-pruning", share, network, time.process_time() - start, criterion=name)
    start = time.process_time()
    study = netsmith.search(
        model,
        x,
        data=loader,
        budgets=[netsmith.Budget(macs=share) for share in options.budgets],
        evaluate=lambda m: scores(m, splits.validation),
        minimize="loss",
        strategy=options.strategies,
        trials=options.trials * len(options.budgets),
        heal=heal,
        finalists=FINALISTS,
        seed=seed,
        storage=scratch,
    )
    seconds = (time.process_time() - start) / len(options.budgets) / len(options.strategies)
    for number, share in enumerate(options.budgets):
        for origin in (*options.strategies, "uniform"):
            best = next(c for c in study.final if c.origin == origin and c.budget == number)
            built = study.build(best)
            more = {"verified": built.verdict.ok, "widths": dict(best.structure.widths)}
            more["refitted_together"] = study.specs[best.name]["finely"]
            told(origin, share, built.model, seconds, **more)


Found = dict[str, dict[float, dict[int, dict[str, Any]]]]
"""Method -> budget -> seed -> row."""


def best(rows: list[dict[str, Any]], cheaper: bool) -> Found:
    """The best on the validation part of each method, at the budget or, if ``cheaper``, below it too."""
    methods = {name: {name} for name in METHODS} | {"front": {"uniform", "random", "allocation"}}
    shares = sorted({row["budget"] for row in rows if row["budget"]}, reverse=True)
    found: Found = {}
    for name, group in methods.items():
        for share in shares:
            for seed in sorted({r["seed"] for r in rows if r["method"] in group and r["budget"] == share}):
                able = [r for r in rows if r["method"] in group and r["seed"] == seed and r["budget"]]
                able = [r for r in able if r["budget"] == share or (cheaper and r["budget"] < share)]
                chosen = min(able, key=lambda row: row["validation_loss"])
                found.setdefault(name, {}).setdefault(share, {})[seed] = chosen
    return found


def _means(found: Found) -> list[str]:
    lines = ["| MACs | " + " | ".join(found) + " |", "|---" * (len(found) + 1) + "|"]
    for share in _shares(found):
        losses = {name: _mean(at[share].values(), "test_loss") for name, at in found.items() if share in at}
        cells = []
        for name, at in found.items():
            cell = f"{losses[name]:.4f}, {_mean(at[share].values(), 'test_accuracy'):.2%}" if name in losses else "–"
            cells.append(f"**{cell}**" if losses.get(name) == min(losses.values()) else cell)
        lines.append(f"| {share:.1%} | " + " | ".join(cells) + " |")
    return lines


def _margins(found: Found) -> list[str]:
    pairs = [(ours, other) for ours in ("allocation", "front") for other in METHODS[:-1] if other in found]
    lines = [
        "| MACs | " + " | ".join(f"{ours} than {other}" for ours, other in pairs) + " |",
        "|---" * (len(pairs) + 1) + "|",
    ]
    for share in _shares(found):
        here = {name: at.get(share, {}) for name, at in found.items()}
        cells = [_margin(here[other], here.get(ours, {})) for ours, other in pairs]
        lines.append(f"| {share:.1%} | " + " | ".join(cells) + " |")
    return lines


def _shares(found: Found) -> list[float]:
    return sorted({share for at in found.values() for share in at}, reverse=True)


def table(rows: list[dict[str, Any]], machine: str, trials: int) -> str:
    fronts = best(rows, cheaper=True)
    first = [row for row in rows if row["method"] == "original"]
    seeds = ", ".join(str(row["seed"]) for row in first)
    lines = [
        "# Search on the digits ResNet",
        "",
        f"Written by `digits.py`. {date.today().isoformat()}, {machine}.",
        f"Width {WIDTH}; seeds {seeds}; {trials} structures judged a budget, the best {FINALISTS} healed; "
        f"Torch-Pruning: six criteria, all healed; {HEALING} epochs of distillation for all. All choose by validation "
        "loss. `front` is what `Study.best` gives: the best of all that the search healed, the uniform structure among "
        "them.",
        f"Mean test cross-entropy and accuracy ({len(first)} × 360 images, another split and network for each seed); "
        "bold: the lowest loss.",
        "",
        f"Original: loss {_mean(first, 'test_loss'):.4f}, accuracy {_mean(first, 'test_accuracy'):.2%}.",
        "",
        "Fronts: everybody takes a cheaper network of their own where it is better on the validation part.",
        "",
        *_means(fronts),
        "",
        "How much lower the loss of allocation and of the front is: mean over the seeds ± standard error, and on how "
        "many seeds it is lower:",
        "",
        *_margins(fronts),
        "",
        "The same without the cheaper networks:",
        "",
        *_means(best(rows, cheaper=False)),
        "",
        *_margins(best(rows, cheaper=False)),
    ]
    return "\n".join([*lines, NOTES])


def _margin(others: Mapping[int, Any], ours: Mapping[int, Any]) -> str:
    gains = [others[seed]["test_loss"] - ours[seed]["test_loss"] for seed in sorted(others.keys() & ours.keys())]
    if len(gains) < 2:
        return "–"
    error = statistics.stdev(gains) / len(gains) ** 0.5
    return f"{statistics.fmean(gains):+.4f} ± {error:.4f}, {sum(g > 0 for g in gains)} of {len(gains)}"


def _mean(rows: Iterable[dict[str, Any]], key: str) -> float:
    return statistics.fmean(row[key] for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--budgets", nargs="+", type=float, default=[0.25, 0.375, 0.5, 0.625, 0.75])
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--strategies", nargs="+", default=["allocation", "random"])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    kept = options.out / "digits.json"
    earlier = json.loads(kept.read_text())["rows"] if kept.is_file() else []
    rows = {(row["seed"], row["method"], row["budget"]): row for row in earlier}

    def add(row: dict[str, Any]) -> None:
        print(json.dumps(row), flush=True)
        rows[row["seed"], row["method"], row["budget"]] = row
        found = {
            "date": date.today().isoformat(),
            "machine": machine,
            "trials": options.trials,
            "rows": [*rows.values()],
        }
        kept.write_text(json.dumps(found, indent=1) + "\n")
        (options.out / "digits.md").write_text(table([*rows.values()], machine, options.trials))

    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as scratch:
            rows_of(options, seed, scratch, add)


if __name__ == "__main__":
    main()
