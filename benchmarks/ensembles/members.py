"""Five small networks that have little in common, and the two data sets that they learn."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from netsmith.combining.ensembles import TreeEnsemble, tree_ensemble
from netsmith.data import Examples, Splits, batches, digits, parquet
from netsmith.training import finetune
from netsmith.zoo import digits_resnet


class Vit(nn.Module):
    """Patches of a quarter of the side, one vector each; two transformer layers; the mean decides."""

    def __init__(self, side: int, width: int = 32) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, side // 4, side // 4)
        self.places = nn.Parameter(0.02 * torch.randn(1, 16, width))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.places  # (N, 16, width)
        scores: Tensor = self.head(self.layers(x).mean(1))
        return scores


def cnn(side: int) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(24 * (side // 4) ** 2, 10)),
    )


def mlp(side: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(side * side, 64), nn.ReLU(), nn.Linear(64, 10))


def builders(side: int) -> dict[str, Callable[[], nn.Module]]:
    """Name -> what builds each network for images 1×side×side; the trees need no builder."""
    return {
        "cnn": lambda: cnn(side),
        "resnet": lambda: digits_resnet(width=6),
        "mlp": lambda: mlp(side),
        "vit": lambda: Vit(side),
    }


EPOCHS = {"cnn": 12, "resnet": 6, "mlp": 20, "vit": 20}
RATES = {"cnn": 0.005, "resnet": 0.005, "mlp": 0.005, "vit": 0.003}


def trained(train: Examples, seed: int) -> dict[str, nn.Module]:
    """The five members, a few seconds of training each."""
    members: dict[str, nn.Module] = {}
    for name, build in builders(train.images.shape[-1]).items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            start = build()
        loader = batches(train, 64, shuffle=True, seed=seed)
        members[name] = finetune(start, loader, epochs=EPOCHS[name], lr=RATES[name], optimizer="adamw", seed=seed)
    return {**members, "trees": trees(train, seed)}


def trees(train: Examples, seed: int) -> TreeEnsemble:
    from sklearn.ensemble import GradientBoostingClassifier

    grown = GradientBoostingClassifier(
        n_estimators=60, learning_rate=0.2, max_depth=3, max_features="sqrt", subsample=0.7, random_state=seed
    )
    return tree_ensemble(grown.fit(train.images.flatten(1).numpy(), train.labels.numpy()))


def fsdd(shared: Path, seed: int) -> Splits:
    """Spoken digits as log-spectrograms of 16 times × 16 frequency bands; a fifth of the training takes validates."""
    from sklearn.model_selection import train_test_split

    x, y = _spectrograms(shared / "fsdd" / "train.parquet")
    test = _spectrograms(shared / "fsdd" / "test.parquet")
    fit, held = train_test_split(range(len(y)), test_size=0.2, stratify=y, random_state=seed)
    mean, std = x[fit].mean(), x[fit].std()
    parts = [(x[fit], y[fit]), (x[held], y[held]), test]
    return Splits(*(Examples((images - mean) / std, labels) for images, labels in parts))


@cache
def _spectrograms(path: Path) -> tuple[Tensor, Tensor]:
    """(N, 1, 16, 16) and labels: log-power of 256-sample windows, averaged to 16 bands × 16 equal parts of the take."""
    images, labels = [], []
    for x, y in batches(parquet(path, length=20_000), 1):
        wave = x.flatten()
        wave = wave[: max(512, int(wave.nonzero().max()) + 1)]  # without what fills it up
        power = torch.stft(wave, 256, 64, window=torch.hann_window(256), return_complex=True).abs()[:128] ** 2
        images.append(nn.functional.adaptive_avg_pool2d(power.clamp_min(1e-6).log()[None], (16, 16)))
        labels.append(y)
    return torch.stack(images), torch.cat(labels)


def splits(name: str, shared: Path, seed: int) -> Splits:
    return digits(seed) if name == "digits" else fsdd(shared, seed)
