"""What slides along positions keeps them; channels and batch stay free."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
import torchvision

from wiring.rules.exercise import Case, exercise

SHAPES = {1: ((2, 6, 8),), 2: ((2, 6, 8, 8),), 3: ((2, 6, 4, 4, 4),)}
BOXES = torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0], [1.0, 2.0, 1.0, 7.0, 6.0], [0.0, 3.0, 3.0, 5.0, 8.0]])


def pool(name: str, *more: Any) -> Callable:
    def call(x: torch.Tensor) -> Any:
        out = getattr(F, name)(x, *more)
        return out[0] if isinstance(out, tuple) else out  # the positions of maxima are no values

    return call


CASES = [
    Case(f"{name}{n}d", pool(f"{name}{n}d", 2), SHAPES[n], 2)
    for name in ("max_pool", "avg_pool", "adaptive_avg_pool")
    for n in (1, 2, 3)
]
CASES += [
    Case(f"{name}{n}d", pool(f"{name}{n}d_with_indices", 2), SHAPES[n], 2, label="F")
    for name in ("adaptive_max_pool",)
    for n in (1, 2, 3)
]
CASES += [Case(f"max_pool{n}d_with_indices", pool(f"max_pool{n}d_with_indices", 2), SHAPES[n], 2) for n in (2, 3)]
RESIZES = {
    "upsample_nearest1d": (1, "nearest"),
    "upsample_linear1d": (1, "linear"),
    "upsample_nearest2d": (2, "nearest"),
    "upsample_bilinear2d": (2, "bilinear"),
    "upsample_bicubic2d": (2, "bicubic"),
    "_upsample_nearest_exact1d": (1, "nearest-exact"),
    "_upsample_nearest_exact2d": (2, "nearest-exact"),
    "upsample_trilinear3d": (3, "trilinear"),
    "upsample_nearest3d": (3, "nearest"),
}


def resize(mode: str, **options: Any) -> Callable:
    return lambda x: F.interpolate(x, scale_factor=2.0, mode=mode, **options)


CASES += [Case(name, resize(mode), SHAPES[n], 2) for name, (n, mode) in RESIZES.items()]
CASES += [
    Case(f"_upsample_{mode}2d_aa", resize(mode, antialias=True), SHAPES[2], 2) for mode in ("bilinear", "bicubic")
]


def sampled(x: torch.Tensor) -> torch.Tensor:
    grid = torch.linspace(-0.9, 0.9, 2 * 4 * 4 * 2, dtype=x.dtype).view(2, 4, 4, 2)
    return F.grid_sample(x, grid, align_corners=False)


CASES += [
    Case("grid_sampler", sampled, SHAPES[2], 1),
    Case("roi_align", lambda x: torchvision.ops.roi_align(x, BOXES, 2), SHAPES[2], 1),
    Case(
        "grid_sampler",
        lambda x, g: F.grid_sample(x, g, align_corners=False),
        ((2, 6, 8, 8), (2, 4, 6, 2)),
        4,
        label="free grid",
    ),
    Case("pixel_shuffle", lambda x: F.pixel_shuffle(x, 2), ((2, 24, 3, 5),), 2),
    Case("pixel_unshuffle", lambda x: F.pixel_unshuffle(x, 2), ((2, 6, 4, 8),), 2),
    Case("pad", lambda x: F.pad(x, (1, 2)), ((2, 6, 4),), 3),
    Case("pad", lambda x: F.pad(x, (0, 0, 2, 1)), ((2, 6, 4),), 3, label="channels"),
    Case("pad", lambda x: F.pad(x, (-1, 0)), ((2, 6, 4),), 2, label="cropped"),
    Case("pad", lambda x: F.pad(x, (1, 1), mode="reflect"), ((2, 6, 4),), 2, label="reflected"),
    Case("constant_pad_nd", lambda x: torch.constant_pad_nd(x, (1, 2), 0.0), ((2, 6, 4),), 3),
    Case("pad", lambda x: F.pad(x, (1, 1), value=2.0), ((2, 6, 4),), 3, label="with a value"),
    Case("unfold", lambda x: x.unfold(2, 3, 2), ((2, 6, 9),), 2),
    Case("unfold", lambda x: x.unfold(-1, 3, 1), ((2, 6, 9),), 2, label="from the end"),
    Case("im2col", lambda x: F.unfold(x, 3), ((2, 6, 5, 5),), 2),
    Case("col2im", lambda x: F.fold(x, (6, 6), 2, stride=2), ((2, 24, 9),), 2),
]


def test_spatial() -> None:
    exercise(CASES)
