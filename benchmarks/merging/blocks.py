"""Merging similar blocks against cutting them, on a trained CIFAR ResNet, at the same number of blocks.

    python benchmarks/merging/blocks.py [--shared ../shared/data] [--depth 20] [--blocks 2] [--images 256]

Unlabelled training images. Removal by Block Influence (ShortGPT), ``plan_cut`` with its affine maps, ``plan_merge`` by
linear CKA with each way of combining weights; the last two also refitted by ``rejoin`` and recalibrated. Judged by
accuracy on 2,000 test images. Writes blocks.json and blocks.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

import torch
from exact import HERE, oneshot

import netsmith
from netsmith.evidence import influence
from netsmith.plans import MergeBlocks, Plan, RemoveBlock, plan_blocks
from netsmith.recovery import recalibrate, rejoin
from netsmith.searches import plan_cut, plan_merge
from netsmith.searches.cutting import candidates


def measured(depth: int, blocks: int, images: int, shared: Path) -> dict[str, Any]:
    run = oneshot()
    model = run.trained(depth, shared)
    test = run.images(shared / "cifar10-jpeg" / "test.parquet", 2000)
    x, _ = run.images(shared / "cifar10-jpeg" / "train.parquet", images)
    data = list(x.split(64))
    wiring = netsmith.trace(model, x[:1])
    rows: dict[str, Any] = {}
    chosen: dict[str, Plan] = {}

    def tell(name: str, make: Callable[[], tuple[Plan, torch.nn.Module]]) -> None:
        start = time.process_time()
        plan, small = make()
        rows[name] = {
            "accuracy": run.accuracy(small, test),
            "macs_share": round(netsmith.measure(small, x[:1]).macs / netsmith.measure(model, x[:1]).macs, 3),
            "verified": bool(netsmith.verify(model, small, plan, x[:2])),
            "cpu_seconds": round(time.process_time() - start, 1),
            "blocks": [edit.block for edit in plan.block_edits],
            "how": sorted({edit.how for edit in plan.block_edits if isinstance(edit, MergeBlocks)}),
        }
        print(name, rows[name], flush=True)

    def plain(name: str, plan: Plan) -> tuple[Plan, torch.nn.Module]:
        chosen[name] = plan
        return plan, netsmith.apply(model, plan).eval()

    def by_block_influence() -> tuple[Plan, torch.nn.Module]:
        found = influence(wiring, data, blocks=candidates(wiring)[0], kind="cosine")
        gone = sorted(found, key=lambda name: found[name])[:blocks]
        return plain("influence", plan_blocks(wiring, [RemoveBlock(name) for name in gone]))

    def merged(how: Literal["average", "differences", "first"]) -> tuple[Plan, torch.nn.Module]:
        edits = [replace(e, how=how) for e in chosen["merge"].block_edits if isinstance(e, MergeBlocks)]
        return plain(how, plan_blocks(wiring, edits))

    def refitted(name: str) -> tuple[Plan, torch.nn.Module]:
        done = rejoin(wiring, chosen[name], data)
        done = recalibrate(model, done.model, done.plan, data)
        return done.plan, done.model

    tell("Block Influence, plain", by_block_influence)
    tell("plan_cut, plain", lambda: plain("cut", plan_cut(wiring, blocks=blocks, data=data)))
    tell("plan_merge, as it chooses", lambda: plain("merge", plan_merge(wiring, pairs=blocks, data=data)))
    tell("plan_merge, average", lambda: merged("average"))
    tell("plan_merge, differences (LaCo)", lambda: merged("differences"))
    tell("plan_cut, refitted", lambda: refitted("cut"))
    tell("plan_merge, refitted", lambda: refitted("merge"))
    tell("plan_merge average, refitted", lambda: refitted("average"))
    return {"original": run.accuracy(model, test), "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=HERE.parents[2] / "shared" / "data")
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--images", type=int, default=256)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = measured(options.depth, options.blocks, options.images, options.shared)
    machine = f"{platform.machine()}, {torch.get_num_threads()} thread, torch {torch.__version__}"
    about = {"network": f"resnet{options.depth}-jpeg", "images": options.images}
    found = {**about, "date": date.today().isoformat(), "machine": machine, **found}
    (HERE / "blocks.json").write_text(json.dumps(found, indent=1) + "\n")
    (HERE / "blocks.md").write_text(table(found))


def table(found: dict[str, Any]) -> str:
    lines = ["# Merging blocks", "", "Made by `blocks.py`, which says what is measured.", ""]
    lines += [
        f"{found['date']}, {found['machine']}. {found['network']} ({found['original']} %), {found['images']} images."
    ]
    lines += ["", "| | accuracy | MACs | verified | s | blocks gone |", "|---|---|---|---|---|---|"]
    for name, row in found["rows"].items():
        gone = ", ".join(row["blocks"]) + (f" ({', '.join(row['how'])})" if row["how"] else "")
        verified = "yes" if row["verified"] else "no"
        share = f"{row['macs_share']:.0%}"
        lines.append(f"| {name} | {row['accuracy']} | {share} | {verified} | {row['cpu_seconds']} | {gone} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
