"""One epoch of healing after a cut: resnet56-jpeg without 9 of its 27 blocks, against the dense siblings.

    python benchmarks/depth/healing.py [--shared ../shared/data] [--rates 0.003 0.01 0.03]

The cut network (see ``run.py``) is distilled from resnet56-jpeg without labels, on augmented training images in batches
of 128. 2,500 training images are set aside: on them the learning rate is chosen, by short runs of 40 steps (the
original was trained on them too, so their accuracy says nothing but which rate is better). Then one
epoch over the other 47,500 with that rate. resnet20-jpeg and resnet56-jpeg are the dense siblings; between their MACs
stands the line from one to the other. The test images are looked at at the end. Writes healing.json and healing.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import torch
from run import beside
from torch import Tensor

import netsmith
from netsmith.recovery import recalibrate, rejoin
from netsmith.searches import plan_cut
from netsmith.training import distil

HERE = Path(__file__).parent
BATCH, SHORT, SET_ASIDE = 128, 40, 2_500
oneshot = beside("oneshot")


class Augmented:
    """Batches of randomly cropped and mirrored images, the same in every run."""

    def __init__(self, x: Tensor, steps: int | None = None):
        self.parts = x.split(BATCH)[:steps]

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Tensor]:
        return (oneshot.augmented(part, seed=i) for i, part in enumerate(self.parts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=HERE.parents[2] / "shared" / "data")
    parser.add_argument("--rates", nargs="+", type=float, default=[0.003, 0.01, 0.03])
    parser.add_argument("--blocks", type=int, default=9)
    options = parser.parse_args()
    x, y = oneshot.images(options.shared / "cifar10-jpeg" / "train.parquet", 50_000)  # all, shuffled
    validation, x = (x[:SET_ASIDE], y[:SET_ASIDE]), x[SET_ASIDE:]
    big = oneshot.trained(56, options.shared)
    calibration = list(x[:1024].split(128))
    wiring = netsmith.trace(big, x[:1])
    done = rejoin(wiring, plan_cut(wiring, blocks=options.blocks, data=calibration), calibration)
    small = recalibrate(big, done.model, done.plan, calibration).model
    chosen = {}
    for rate in options.rates:
        chosen[rate] = oneshot.accuracy(distil(small, big, Augmented(x, SHORT), epochs=1, lr=rate), validation)
        print(rate, chosen[rate], flush=True)
    rate = max(chosen, key=lambda r: chosen[r])
    start = time.perf_counter()
    healed = distil(small, big, Augmented(x), epochs=1, lr=rate)
    seconds = time.perf_counter() - start

    test = oneshot.images(options.shared / "cifar10-jpeg" / "test.parquet")
    models = {
        "resnet20-jpeg": oneshot.trained(20, options.shared),
        "resnet56-jpeg": big,
        "cut": small,
        "healed": healed,
    }
    rows = {
        name: {"macs": netsmith.measure(model, x[:1]).macs, "accuracy": oneshot.accuracy(model, test)}
        for name, model in models.items()
    }
    least, most = rows["resnet20-jpeg"], rows["resnet56-jpeg"]
    share = (rows["cut"]["macs"] - least["macs"]) / (most["macs"] - least["macs"])
    line = round(least["accuracy"] + share * (most["accuracy"] - least["accuracy"]), 2)
    document = {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "validation_by_rate": {str(r): a for r, a in chosen.items()},
        "rate": rate,
        "steps": len(Augmented(x)),
        "seconds": round(seconds, 1),
        "dense_siblings_at_equal_macs": line,
        "blocks": [edit.block for edit in done.plan.block_edits],
        "rows": rows,
    }
    (HERE / "healing.json").write_text(json.dumps(document, indent=1) + "\n")
    lines = [
        "# One epoch of healing after a cut",
        "",
        f"resnet56-jpeg without {options.blocks} of 27 blocks; made by `healing.py`, which says what is measured.",
        f"{document['date']}, {document['machine']}. {document['steps']} steps at rate {rate:g}, {seconds:.0f} s.",
        "",
        "| | MACs | accuracy on 5,000 test images |",
        "|---|---|---|",
        *(f"| {name} | {row['macs'] / 1e6:.1f} M | {row['accuracy']} |" for name, row in rows.items()),
        "",
        f"On the line between the dense siblings, at the MACs of the cut network: {line}",
        "",
    ]
    (HERE / "healing.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
