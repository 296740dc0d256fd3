"""A network that hears spoken digits: trained, shrunk to a third of its MACs, healed without labels.

python examples/keywords.py FOLDER        (holds train.parquet and test.parquet of the Free Spoken Digit Dataset)

Needs netsmith[data]. A few minutes on one core.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from netsmith import Budget, Result, shrink
from netsmith.checks.classification import classification
from netsmith.data import Examples, batches, parquet
from netsmith.training import distil, finetune

SAMPLES = 6144  # three quarters of a second at 8 kHz


def spectrograms(path: Path, most: int | None = None) -> Examples:
    """Logarithms of power in 65 bands of frequency and 49 moments, as images (1, 65, 49)."""
    recordings = parquet(path, length=SAMPLES)
    step = 1 if most is None else max(1, len(recordings) // most)
    sounds, labels = zip(*(recordings[i] for i in range(0, len(recordings), step)), strict=True)
    window = torch.hann_window(128)
    power = torch.stft(torch.cat(sounds), 128, 128, window=window, return_complex=True).abs().square()
    images = (power + 1e-6).log()
    return Examples((images - images.mean()).div(images.std()).unsqueeze(1), torch.tensor(labels))


def network(width: int) -> nn.Module:
    layers: list[nn.Module] = []
    for into, out in ((1, width), (width, 2 * width), (2 * width, 4 * width)):
        layers += [nn.Conv2d(into, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10))


def main(folder: Path, *, width: int = 16, epochs: int = 6, most: int | None = None) -> Result:
    torch.manual_seed(0)
    train, test = (spectrograms(folder / f"{part}.parquet", most) for part in ("train", "test"))
    loader = batches(train, 32, shuffle=True)
    model = finetune(network(width), loader, epochs=epochs, lr=0.05)

    def heal(small: nn.Module, original: nn.Module) -> nn.Module:
        return distil(small, original, loader, epochs=max(1, epochs // 2), lr=0.02)

    sounds: Iterable[Tensor] = train.images[:512].split(64)
    return shrink(
        model,
        train.images[:8],
        budget=Budget(macs=0.33),
        data=list(sounds),
        evaluate=lambda each: classification(each, batches(test, 100)),
        heal=heal,
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(main(Path(sys.argv[1])))
