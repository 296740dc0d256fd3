"""Three ingredients that shrinking might have, each against what it does: depth, a second round, swaps.

    python benchmarks/oneshot/ingredients.py [--shared ../shared/data] [--networks resnet20 digits] [--seeds 0 1]

All judged on images that were cut from the training set and that neither curves nor repair see: 5,000 of
resnet20-jpeg's, the 288 validation images of the digits ResNet, which this script trains. Rows of the same network,
budget and seed differ in one thing only:

    one round    what `shrink` does
    depth        residual blocks may go altogether: `shrink(..., depth=True)`
    two rounds   half of the saving is allocated and repaired by `compensate`; curves of that network, as divergence
                 from the original that is added, allocate the rest; the widths of both are repaired as in one round
    swaps        units chosen by elimination are swapped while the closed-form error falls: swapping.py

`time`, in the JSON, is the median of one call of one image, eager, as a share of the original's, measured in turns with
it; on a busy machine it says little, so the table leaves it out.
`--latency` allocates to that time instead, without and with depth. Writes ingredients.json and ingredients.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from run import images, trained
from swapping import swapped
from torch import Tensor, nn

import netsmith
from netsmith.costs import latencies
from netsmith.data import digits
from netsmith.evidence import divergence
from netsmith.plans import Budget, Plan
from netsmith.plans.widths import plan_for, proven_sizing
from netsmith.recovery import Repaired, compensate, repair
from netsmith.scores.elimination import Reader
from netsmith.searches import Curves, allocate, measure, measure_blocks, measure_curves
from netsmith.wiring import Wiring
from netsmith.zoo import digits_resnet


@dataclass(frozen=True)
class Case:
    """A network, images to measure and repair with, and images to judge by."""

    name: str
    model: nn.Module
    data: list[Tensor]
    held: tuple[Tensor, Tensor]
    shares: tuple[float, ...]
    seed: int

    def judged(self, model: nn.Module) -> dict[str, float]:
        """Divergence in nats, accuracy in percent."""
        x, y = self.held
        with torch.no_grad():
            wanted, out = (torch.cat([m(part) for part in x.split(250)]) for m in (self.model, model))
        right = float((out.argmax(1) == y).float().mean())
        return {"divergence": round(float(divergence(wanted, out)), 5), "accuracy": round(100 * right, 2)}


def case(name: str, seed: int, shared: Path) -> Case:
    if name == "digits":
        splits = digits()
        chosen = torch.randperm(len(splits.train), generator=torch.Generator().manual_seed(seed))[:512]
        held = (splits.validation.images, splits.validation.labels)
        return Case(name, digits_network(), list(splits.train.images[chosen].split(64)), held, (0.5, 0.25), seed)
    x, y = images(shared / "cifar10-jpeg" / "train.parquet", 6024, seed)
    model = trained(int(name.removeprefix("resnet")), shared)
    return Case(name, model, list(x[:1024].split(64)), (x[1024:], y[1024:]), (0.5, 1 / 2.57), seed)


def digits_network() -> nn.Module:
    splits = digits()
    torch.manual_seed(0)
    model = digits_resnet()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=540)
    for _ in range(30):
        for chosen in torch.randperm(len(splits.train)).split(64):
            loss = nn.functional.cross_entropy(model(splits.train.images[chosen]), splits.train.labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@contextmanager
def noted(found: dict[str, list[Reader]]) -> Iterator[None]:
    """Note what elimination looks at while curves are measured: axis -> layers that read it."""
    order, current = measure._Measuring._order, [""]

    def named(self: Any, name: str, refits: Any) -> tuple[int, ...]:
        current[0] = name
        return order(self, name, refits)

    def ordered(readers: Sequence[Reader], units: int, pinned: Sequence[int]) -> tuple[int, ...]:
        found[current[0]] = list(readers)
        return elimination_order(readers, units, pinned)

    elimination_order = measure.elimination_order
    with mock.patch.object(measure._Measuring, "_order", named):
        with mock.patch.object(measure, "elimination_order", ordered):
            yield


def with_swaps(curves: Curves, plan: Plan, readers: dict[str, list[Reader]]) -> tuple[Plan, dict[str, Any]]:
    wiring, kept, count, falls = curves.wiring, dict(plan.keep()), 0, []
    for axis in [a for a in kept if a in readers]:
        pinned = wiring.axis[axis].pinned
        units, swaps, fall = swapped(readers[axis], curves.ranks[axis], len(kept[axis]), pinned)
        kept[axis], count = tuple(sorted(units)), count + swaps
        falls.append(fall)
    sizing, _ = proven_sizing(wiring, {axis: len(units) for axis, units in kept.items()})
    told = {"swaps": count, "mean_fall": round(sum(falls) / max(len(falls), 1), 4)}
    return plan_for(wiring, sizing, kept), told


def second_round(curves: Curves, share: float, one: Case) -> Plan:
    wiring, x = curves.wiring, curves.wiring.example_inputs
    first = allocate(curves, Budget(macs=(1 + share) / 2))
    halfway = compensate(wiring, first, one.data, seed=one.seed).model
    again = added_divergence(netsmith.trace(halfway, x), one)
    rest = share * netsmith.measure(one.model, x).macs / netsmith.measure(halfway, x).macs
    before, after = first.keep(), allocate(again, Budget(macs=rest)).keep()
    units = {axis: before.get(axis, tuple(range(wiring.sizes[axis]))) for axis in {*before, *after}}
    units |= {axis: tuple(units[axis][i] for i in chosen) for axis, chosen in after.items()}
    sizing, _ = proven_sizing(wiring, {axis: len(chosen) for axis, chosen in units.items()})
    return plan_for(wiring, sizing, units)


def added_divergence(wiring: Wiring, one: Case) -> Curves:
    """Curves of a changed network: divergence from the original, less what is there already."""
    start, divergence_of = measure._Measuring.__init__, measure._Measuring._divergence
    level: list[float] = []

    def begun(self: Any, *args: Any) -> None:
        start(self, *args)
        self.wanted = [one.model(x) for x in self.judged]

    def added(self: Any, model: nn.Module) -> float:
        own, starts = self.references, self.starts
        self.references = self.wanted
        if not level:
            self.starts = [measure.Checkpoint(0, inputs) for inputs in self.judged]
            level.append(divergence_of(self, self.wiring.model))
            self.starts = starts
        found = divergence_of(self, model)
        self.references = own
        return max(found - level[0], 0.0)

    with mock.patch.object(measure._Measuring, "__init__", begun):
        with mock.patch.object(measure._Measuring, "_divergence", added):
            return measure_curves(wiring, one.data, seed=one.seed)


def rows_of(one: Case, latency: Sequence[str], wanted: Sequence[str]) -> Iterator[dict[str, Any]]:
    x = one.data[0][:1]
    wiring, readers = netsmith.trace(one.model, x), dict[str, list[Reader]]()
    busy = time.process_time()
    with noted(readers):
        curves = measure_curves(wiring, one.data, seed=one.seed)
    seconds = time.process_time() - busy
    deep, busy = curves, time.process_time()
    if "depth" in wanted or latency:
        deep = measure_blocks(curves, one.data, seed=one.seed)
    seconds_blocks = time.process_time() - busy
    print(f"{deep}\n{one.name} curves {seconds:.1f} s, blocks {seconds_blocks:.1f} s", flush=True)

    def row(what: str, budget: str, make: Callable[[], Plan | tuple[Plan, dict[str, Any]]]) -> dict[str, Any]:
        busy = time.process_time()
        made = make()
        plan, more = made if isinstance(made, tuple) else (made, {})
        planning, busy = time.process_time() - busy, time.process_time()
        done: Repaired = repair(wiring, plan, one.data, seed=one.seed)
        before, after = netsmith.measure(one.model, x), netsmith.measure(done.model, x)
        times = [latencies([one.model, done.model], x) for _ in range(5)]
        cut = [edit.block for step in plan.steps for edit in step.block_edits]
        return {
            "network": one.name,
            "budget": budget,
            "seed": one.seed,
            "what": what,
            **one.judged(done.model),
            "macs": round(after.macs / before.macs, 4),
            "time": round(sorted(b / a for a, b in times)[2], 3),
            "verified": netsmith.verify(one.model, done.model, done.plan, x).ok,
            "planning_seconds": round(planning, 1),
            "repair_seconds": round(time.process_time() - busy, 1),
            **({"cut": cut} if cut else {}),
            **more,
        }

    for share in one.shares:
        macs = Budget(macs=share)
        ways: dict[str, Callable[[], Any]] = {
            "one round": lambda: allocate(curves, macs),  # noqa: B023
            "depth": lambda: allocate(deep, macs),  # noqa: B023
            "two rounds": lambda: second_round(curves, share, one),  # noqa: B023
            "swaps": lambda: with_swaps(curves, allocate(curves, macs), readers),  # noqa: B023
        }
        for what in wanted:
            yield row(what, f"{share:.0%} of MACs", ways[what])
    for text in latency:
        for what, these in (("one round", curves), ("depth", deep)):
            yield row(what, f"{text} of time", lambda: allocate(these, Budget(latency_ms=text)))  # noqa: B023


def table(rows: list[dict[str, Any]], machine: str) -> str:
    lines = [
        "# Ingredients tried",
        "",
        "Divergence (nats) from the original and accuracy (%) on images cut from the training set; by "
        "`ingredients.py`, which says what each row is.",
        f"{date.today().isoformat()}, {machine}, one thread.",
        "",
        "| network | budget | seed | | divergence | accuracy | MACs | blocks gone | s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in sorted(rows, key=lambda r: (r["network"], r["budget"], r["seed"])):
        cells = [r["network"], r["budget"], r["seed"], r["what"], f"{r['divergence']:.5f}", f"{r['accuracy']:.2f}"]
        cells += [f"{r['macs']:.3f}", ", ".join(r.get("cut", []))]
        lines.append(f"| {' | '.join(map(str, cells))} | {r['planning_seconds'] + r['repair_seconds']:.0f} |")
    return "\n".join([*lines, ""])


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=here.parents[2] / "shared" / "data")
    parser.add_argument("--networks", nargs="+", default=["digits", "resnet20"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--rows", nargs="*", default=["one round", "depth", "two rounds", "swaps"])
    parser.add_argument("--latency", nargs="*", default=[], help='e.g. "70%%": times to allocate to, depth and not')
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args()
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    file = options.out / "ingredients.json"
    rows = {tuple(r[k] for k in ("network", "budget", "seed", "what")): r for r in _earlier(file)}
    for name in options.networks:
        for seed in options.seeds:
            for r in rows_of(case(name, seed, options.shared), options.latency, options.rows):
                rows[tuple(r[k] for k in ("network", "budget", "seed", "what"))] = r
                print(json.dumps(r), flush=True)
                found = {"date": date.today().isoformat(), "machine": machine, "rows": list(rows.values())}
                file.write_text(json.dumps(found, indent=1) + "\n")
                (options.out / "ingredients.md").write_text(table(list(rows.values()), machine))


def _earlier(file: Path) -> list[dict[str, Any]]:
    return json.loads(file.read_text())["rows"] if file.is_file() else []


if __name__ == "__main__":
    main()
