"""Name -> batches that fit a model's example input: images of its size, recordings of its length."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .images import Pixels
from .resolve import open_data

IMAGE_FILES = ("imagefolder:", "parquet:")


def fitting_batches(
    name: str,
    example_inputs: Any,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    batch_size: int = 64,
    shuffle: bool = False,
    seed: int = 0,
) -> Iterable[Any]:
    """Batches of a data set; files of images or recordings are brought to the size of the example input.

    Args:
        name, batch_size, shuffle, seed: as in ``open_data``.
        example_inputs: of the model; a tensor (N, C, H, W) says how large images have to be, (N, C, samples) how long
            recordings are.
        mean, std: one number a channel, for pixels in 0..1.

    Raises:
        InputError: as ``Pixels`` and ``open_data``.
        UnknownNameError: as ``open_data``.
    """
    pixels, length = None, None
    if name.startswith(IMAGE_FILES):
        shape: Sequence[int] = getattr(example_inputs, "shape", ())
        given = mean is not None or std is not None
        if len(shape) == 4:
            mode = "L" if shape[1] == 1 else "RGB"
            pixels = Pixels(mode=mode, mean=mean, std=std, resize=(int(shape[2]), int(shape[3])))
        elif given:
            pixels = Pixels(mean=mean, std=std)
        if len(shape) == 3:
            length = int(shape[2])
    return open_data(name, pixels=pixels, length=length, batch_size=batch_size, shuffle=shuffle, seed=seed)
