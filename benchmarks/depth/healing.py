"""One epoch of healing after a cut: resnet56-jpeg without 9 of its 27 blocks, against the dense siblings.

    python benchmarks/depth/healing.py [--shared ../shared/data] [--rates 0.02 0.05 0.1]

The cut network (see ``run.py``; 1,024 unlabelled training images) is distilled from resnet56-jpeg without labels, on
augmented training images in batches of 128, in bfloat16. 2,500 training images are set aside. Every rate is given its
whole epoch over the other 47,500 images, because short runs favour rates that are too low for a whole one; the one
that is best on the images set aside is chosen (the original was trained on them too, so their accuracy says nothing but
which rate is better). resnet20-jpeg and resnet56-jpeg are the dense siblings; between their MACs stands the line from
one to the other. The test images are looked at at the end. Writes healing.json and healing.md; with --stages, where
what the three stages give is learnt too, healing_stages.json and .md; with --all, for one rate and a whole epoch of
all 50,000 images, healing_all.json and .md.
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
BATCH, SET_ASIDE = 128, 2_500
oneshot = beside("oneshot")


class Augmented:
    """Batches of randomly cropped and mirrored images, the same in every run."""

    def __init__(self, x: Tensor):
        self.parts = x.split(BATCH)

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Tensor]:
        for i, part in enumerate(self.parts):
            yield oneshot.augmented(part, seed=i).to(memory_format=torch.channels_last)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=HERE.parents[2] / "shared" / "data")
    parser.add_argument("--rates", nargs="+", type=float, default=[0.02, 0.05, 0.1])
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--stages", action="store_true", help="learn what the stages give too, not the outputs alone")
    parser.add_argument("--all", action="store_true", help="an epoch of all 50,000 images: for one rate, none chosen")
    options = parser.parse_args()
    if options.all and len(options.rates) > 1:
        parser.error("--all sets no images aside to choose a rate on; give one with --rates")
    x, y = oneshot.images(options.shared / "cifar10-jpeg" / "train.parquet", 50_000)  # all, shuffled
    validation, x = (x[:SET_ASIDE], y[:SET_ASIDE]), x if options.all else x[SET_ASIDE:]
    big = oneshot.trained(56, options.shared)
    calibration = list(oneshot.images(options.shared / "cifar10-jpeg" / "train.parquet", 1024)[0].split(128))
    wiring = netsmith.trace(big, x[:1])
    start = time.process_time()
    done = rejoin(wiring, plan_cut(wiring, blocks=options.blocks, data=calibration), calibration)
    small = recalibrate(big, done.model, done.plan, calibration).model
    print(f"cut in {time.process_time() - start:.0f} CPU seconds", flush=True)
    small, teacher = (model.to(memory_format=torch.channels_last) for model in (small, big))
    features = {name: name for name in ("layer1", "layer2", "layer3")} if options.stages else None
    how = {"epochs": 1, "weight_decay": 1e-4, "precision": "bf16", "features": features}
    healed, chosen, start = {}, {}, time.process_time()
    for rate in options.rates:
        healed[rate] = distil(small, teacher, Augmented(x), lr=rate, **how)
        chosen[rate] = oneshot.accuracy(healed[rate], validation)
        print(rate, chosen[rate], flush=True)
    seconds = (time.process_time() - start) / len(options.rates)
    rate = max(chosen, key=lambda r: chosen[r])

    test = oneshot.images(options.shared / "cifar10-jpeg" / "test.parquet")
    models = {
        "resnet20-jpeg": oneshot.trained(20, options.shared),
        "resnet56-jpeg": big,
        "cut": small,
        **{f"healed at rate {each:g}": model for each, model in healed.items()},
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
        "learnt": "outputs and stages" if options.stages else "outputs",
        "steps": len(Augmented(x)),
        "cpu_seconds_an_epoch": round(seconds, 1),
        "dense_siblings_at_equal_macs": line,
        "blocks": [edit.block for edit in done.plan.block_edits],
        "rows": rows,
    }
    name = "healing" + "_all" * options.all + "_stages" * options.stages
    (HERE / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    lines = [
        "# One epoch of healing after a cut",
        "",
        f"resnet56-jpeg without {options.blocks} of 27 blocks, which learns the {document['learnt']} of the original; "
        "made by `healing.py`, which says what is measured.",
        f"{document['date']}, {document['machine']}. {document['steps']} steps, {seconds:.0f} CPU seconds.",
        f"Rate given: {rate:g}."
        if options.all
        else f"Rate chosen on {SET_ASIDE:,} training images set aside: {rate:g} "
        f"({', '.join(f'{a} at {r:g}' for r, a in chosen.items())}).",
        "",
        "| | MACs | accuracy on 5,000 test images |",
        "|---|---|---|",
        *(f"| {name} | {row['macs'] / 1e6:.1f} M | {row['accuracy']} |" for name, row in rows.items()),
        "",
        f"On the line between the dense siblings, at the MACs of the cut network: {line}",
        "",
    ]
    (HERE / f"{name}.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
