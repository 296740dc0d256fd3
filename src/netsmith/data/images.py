"""Encoded image -> tensor, with errors that say which image."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import torch
from torch import Tensor

from ..errors import InputError, missing_extra

CHANNELS = {"L": 1, "RGB": 3}


@dataclass(frozen=True)
class Pixels:
    """How images become tensors.

    Attributes:
        mode: "RGB" (3 channels) or "L" (1, grey).
        mean, std: one number a channel, for pixels in 0..1: x = (pixel - mean) / std. None: left in 0..1.
        resize: (height, width) to bring every image to, bilinear; None: all must have one size.

    Raises:
        InputError: an unknown mode, wrong number of means, a std that is not positive, a resize that is no pair ≥ 1.
    """

    mode: str = "RGB"
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    resize: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.mode not in CHANNELS:
            raise InputError(f"mode={self.mode!r} is unknown; there are 'RGB' (3 channels) and 'L' (1 channel, grey)")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values is not None and len(values) != CHANNELS[self.mode]:
                raise InputError(f"{name} has {len(values)} numbers; mode={self.mode!r} needs {CHANNELS[self.mode]}")
        if self.std is not None and min(self.std) <= 0:
            raise InputError(f"std={tuple(self.std)} must be positive")
        if self.resize is not None and (len(self.resize) != 2 or min(self.resize) < 1):
            raise InputError(f"resize={self.resize} must be (height, width), both ≥ 1")

    def decode(self, source: bytes | BinaryIO, where: str) -> Tensor:
        """(C, H, W) float32 of one encoded image (PNG, JPEG, ...).

        Raises:
            InputError: it cannot be decoded; ``where`` says which one it was.
            MissingExtraError: Pillow is not installed.
        """
        try:
            from PIL import Image
        except ImportError:
            raise missing_extra("pillow", "data", "reading images") from None

        stream = io.BytesIO(source) if isinstance(source, bytes) else source
        try:
            with Image.open(stream) as opened:
                image = opened.convert(self.mode)
        # Pillow has no common error of its own: plugins raise OSError, SyntaxError, ValueError, struct.error, ...
        except Exception as error:
            raise InputError(f"{where} cannot be read as an image: {error}") from error
        if self.resize is not None:
            image = image.resize((self.resize[1], self.resize[0]), Image.Resampling.BILINEAR)
        height, width = image.height, image.width
        pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        tensor = pixels.view(height, width, CHANNELS[self.mode]).permute(2, 0, 1).float() / 255
        if self.mean is not None:
            tensor = tensor - torch.tensor(self.mean).view(-1, 1, 1)
        if self.std is not None:
            tensor = tensor / torch.tensor(self.std).view(-1, 1, 1)
        return tensor.contiguous()


def check_size(tensor: Tensor, expected: tuple[int, ...], where: str) -> None:
    """Raise InputError unless the image has the size of the data set's first one: a batch needs one size."""
    if tuple(tensor.shape) != expected:
        (height, width), (first_height, first_width) = tensor.shape[1:], expected[1:]
        raise InputError(
            f"{where} is {height}×{width} pixels but the first image is {first_height}×{first_width}; batches need one "
            f"size. Bring all to one with resize=({first_height}, {first_width})"
        )
