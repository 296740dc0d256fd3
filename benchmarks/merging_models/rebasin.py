"""The loss between two networks trained from different seeds, before and after alignment and REPAIR.

    python benchmarks/merging_models/rebasin.py --cifar FOLDER [--shared ../shared/data]

The digits MLP (64-512-512-512-10) and ResNet are trained here; the CIFAR ResNet-20s come from cifar.py. The second
network is aligned to the first by weights and by activations on training images; the loss on test images is measured
along the straight line between the two. The barrier is the most by which it exceeds the line between the losses of the
ends. Of CIFAR, 512 training images and the first 1,000 test images are used. Writes the "rebasin" part of results.json.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from cifar import images
from report import keep, kept
from safetensors.torch import load_file
from torch import Tensor, nn

from netsmith.combining import align, barrier, repair
from netsmith.data import digits
from netsmith.wiring import trace
from netsmith.zoo import cifar_resnet, digits_resnet
from training import judged, mlp, seeded, trained


def case(a: nn.Module, b: nn.Module, train: Tensor, x: Tensor, y: Tensor, points: int = 5) -> dict[str, Any]:
    """Barriers between two networks in all ways."""
    batches = list(train.split(128))

    ends: dict[int, tuple[float, float]] = {}  # the loss of the second does not change when it is reordered

    def row(other: nn.Module, mended: bool) -> dict[str, Any]:
        seen: list[tuple[float, float]] = []

        def loss(model: nn.Module) -> float:
            end = 0 if model is a else 1 if model is other else None
            found = ends.get(end) if end is not None else None
            found = found or judged(model, x, y)
            if end is not None:
                ends[end] = found
            seen.append(found)
            return found[0]

        def mend(model: nn.Module) -> nn.Module:
            return repair(model, [a, other], batches, most_examples=len(train))

        found = barrier(a, other, loss, points=points, mend=mend if mended else None)
        return {
            "losses": [round(v, 4) for v in found.losses],
            "barrier": round(found.height, 4),
            "accuracy_halfway": round(seen[points // 2][1], 4),
        }

    wiring = trace(a, train[:4])
    result: dict[str, Any] = {"as trained": row(b, False)}
    result["accuracies"] = [round(ends[end][1], 4) for end in (0, 1)]
    result["as trained, REPAIR"] = row(b, True)
    for method in ("weights", "activations"):
        start = time.perf_counter()
        aligned = align(wiring, b, data=batches, method=method, most_examples=len(train))
        seconds = round(time.perf_counter() - start, 1)
        with torch.no_grad():
            exact = float((aligned.model(x[:200]) - b(x[:200])).abs().max() / b(x[:200]).abs().max())
        for name, mended in ((f"aligned by {method}", False), (f"aligned by {method}, REPAIR", True)):
            result[name] = row(aligned.model, mended)
            removed = 1 - result[name]["barrier"] / result["as trained"]["barrier"]
            result[name] |= {"removed": round(removed, 4), "seconds": seconds, "outputs_moved": exact}
            print(f"  {name}: {result[name]}", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    parser.add_argument("--cifar", type=Path, help="folder with resnet20-0.safetensors and resnet20-1.safetensors")
    parser.add_argument("--test-images", type=int, default=1000, help="of CIFAR; thousands")
    parser.add_argument("--points", type=int, default=3, help="on the line between the ResNet-20s, odd")
    parser.add_argument("--cases", nargs="+", default=["digits MLP", "digits ResNet", "CIFAR ResNet-20"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = digits()
    x, y = data.train.images, data.train.labels
    found: dict[str, Any] = kept("rebasin")
    for name, make, epochs in (("digits MLP", mlp, 20), ("digits ResNet", lambda: digits_resnet(24), 10)):
        if name not in options.cases:
            continue
        print(name, flush=True)
        a, b = (trained(seeded(make, seed), seed, x, y, epochs) for seed in (0, 1))
        found[name] = case(a, b, x[:1024], data.test.images, data.test.labels, points=11 if "MLP" in name else 5)
        keep("rebasin", found)
    if options.cifar is not None and "CIFAR ResNet-20" in options.cases:
        print("CIFAR ResNet-20", flush=True)
        nets = []
        for seed in (0, 1):
            model = cifar_resnet(20)
            model.load_state_dict(load_file(options.cifar / f"resnet20-{seed}.safetensors"))
            nets.append(model.eval())
        train, _ = images(options.shared / "cifar10-jpeg" / "train.parquet", 1000)
        x, y = images(options.shared / "cifar10-jpeg" / "test.parquet", options.test_images)
        found["CIFAR ResNet-20"] = case(*nets, train[:512], x, y, points=options.points)
        keep("rebasin", found)


if __name__ == "__main__":
    main()
