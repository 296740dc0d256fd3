"""Trains a CIFAR ResNet-20 from a seed: what the re-basin benchmark joins two of.

    python benchmarks/merging_models/cifar.py --seed 0 --out FOLDER [--half 1000 --full 120] [--shared ../shared/data]

SGD with Nesterov momentum, random crops and mirrored images, learning rate up to 0.4 and down along a cosine, batches
of 128 of the 45,000 training images that are not held out for validation; most steps at half the resolution (16×16),
the last ones, with the smallest learning rates, at the full one. The weights go to FOLDER/resnet20-SEED.safetensors;
existing ones are kept.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from netsmith.data import Pixels, batches, parquet
from netsmith.training.rates import schedule
from netsmith.zoo import cifar_resnet

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HELD_OUT = 5000


def images(path: Path, first: int | None = None) -> tuple[Tensor, Tensor]:
    """All images of a file, or its first ones: thousands."""
    several = None if first is None else first // 1000
    loaded = list(itertools.islice(batches(parquet(path, pixels=Pixels(mean=MEAN, std=STD)), 1000), several))
    return torch.cat([x for x, _ in loaded]), torch.cat([y for _, y in loaded])


def splits(x: Tensor, y: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Training images and the 5,000 that are held out."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(12345))
    held, rest = order[:HELD_OUT], order[HELD_OUT:]
    return (x[rest], y[rest]), (x[held], y[held])


def augmented(x: Tensor, generator: torch.Generator) -> Tensor:
    """Random crops of padded images, half of them mirrored."""
    padded = nn.functional.pad(x, (4, 4, 4, 4))
    rows, columns = torch.randint(0, 9, (2, len(x)), generator=generator).tolist()
    crops = torch.stack([p[:, r : r + 32, c : c + 32] for p, r, c in zip(padded, rows, columns, strict=True)])
    flip = torch.rand(len(x), generator=generator) < 0.5
    return torch.where(flip[:, None, None, None], crops.flip(3), crops)


def trained(seed: int, half: int, full: int, x: Tensor, y: Tensor, batch: int = 128, lr: float = 0.4) -> nn.Module:
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = cifar_resnet(20)
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 5e-4}, {"params": vectors, "weight_decay": 0.0}]
    descent = torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True)
    model.train().to(memory_format=torch.channels_last)
    start, order = time.perf_counter(), torch.empty(0, dtype=torch.int64)
    for step in range(half + full):
        if len(order) < batch:
            order = torch.randperm(len(x), generator=generator)
        chosen, order = order[:batch], order[batch:]
        for group in descent.param_groups:
            group["lr"] = lr * schedule(step, half + full, 0.2)
        inputs = augmented(x[chosen], generator).contiguous(memory_format=torch.channels_last)
        if step < half:
            inputs = nn.functional.avg_pool2d(inputs, 2)
        loss = nn.functional.cross_entropy(model(inputs), y[chosen])
        descent.zero_grad()
        loss.backward()
        descent.step()
        if (step + 1) % 50 == 0:
            seconds = time.perf_counter() - start
            print(f"seed {seed} step {step + 1}: loss {loss.item():.3f}, {seconds:.0f} s", flush=True)
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--half", type=int, default=1000, help="steps at half the resolution")
    parser.add_argument("--full", type=int, default=120, help="steps at the full resolution, after those")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    target = options.out / f"resnet20-{options.seed}.safetensors"
    if target.exists():
        return
    options.out.mkdir(parents=True, exist_ok=True)
    (x, y), (held_x, held_y) = splits(*images(options.shared / "cifar10-jpeg" / "train.parquet"))
    model = trained(options.seed, options.half, options.full, x, y)
    with torch.no_grad():
        parts = zip(held_x.split(500), held_y.split(500), strict=True)
        right = sum(int((model(a).argmax(1) == b).sum()) for a, b in parts)
    print(f"seed {options.seed}: validation accuracy {right / len(held_y):.4f}")
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, target)


if __name__ == "__main__":
    main()
