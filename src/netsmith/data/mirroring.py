"""Images and their mirror images: twice the calibration data, where left and right mean the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor

from ..errors import InputError
from .running import describe, each_batch


def mirrored(batches: Iterable[Any]) -> Mirrored:
    """Every batch of images, and behind each the same images mirrored left to right, with the same labels.

    What is fitted to few images fits them too closely; their mirror images tell it apart from what holds for all.

    Args:
        batches: each ``x`` or ``(x, y)``, x (examples, channels, height, width) or (channels, height, width).

    Returns:
        An iterable that goes through the batches anew each time.

    Raises:
        InputError: when it is gone through: a batch that holds no such images.

    Example:
        >>> netsmith.shrink(model, x, budget=budget, data=mirrored(batches))  # doctest: +SKIP
    """
    return Mirrored(batches)


def unmirrored(data: Any) -> Any:
    """Data without the mirror images: what is measured on few images wants them to differ."""
    return data.batches if isinstance(data, Mirrored) else data


class Mirrored:
    """See ``mirrored``."""

    def __init__(self, batches: Iterable[Any]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        for x, y in each_batch(self.batches):
            if not isinstance(x, Tensor) or x.dim() not in (3, 4):
                raise InputError(
                    f"only images can be mirrored, tensors (examples, channels, height, width), not {describe(x)}"
                )
            for images in (x, x.flip(-1)):
                yield images if y is None else (images, y)
