"""TensorBoard: the curves of a training run, and the structure that is trained.

Training knows nothing of it: it is given ``board.progress`` as its progress callback.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from ..errors import FileError, InputError, missing_extra
from ..wiring import Wiring

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_ROW, _GAP, _WIDE = 12, 4, 640  # pixels of a bar, between bars, and of the widest axis
_INK = (31, 111, 139)


class Board:
    """Where a run is written to."""

    def __init__(self, writer: SummaryWriter):
        self._writer = writer

    def progress(self, step: int, total: int, said: dict[str, float]) -> None:
        """For ``finetune``, ``distil``, ...: loss, rate and, where there is one, the validation's score."""
        for name, value in said.items():
            self._writer.add_scalar(f"training/{name}", value, step)

    def structure(self, wiring: Wiring, step: int = 0) -> None:
        """The structure as a picture, one bar an axis as long as it has units, and the histogram of the widths.

        Args:
            wiring: of the model, from ``trace``.
            step: where in the run.

        Raises:
            InputError: wiring is something else.
        """
        if not isinstance(wiring, Wiring):
            raise InputError(f"wiring is a {type(wiring).__name__}; give what trace(model, example_inputs) returns")
        axes = [axis for axis in wiring.axes if any(m.trainable for m in axis.members)]
        widths = torch.tensor([axis.size for axis in axes])
        if len(widths):
            self._writer.add_histogram("structure/widths", widths, step)
            self._writer.add_image("structure/axes", picture(widths), step)
        lines = [f"| {a.name} | {a.size} | {'' if a.frozen is None else 'frozen: ' + a.frozen} |" for a in axes]
        self._writer.add_text("structure/table", "\n".join(["| axis | units | |", "|---|---|---|", *lines]), step)


@contextmanager
def tensorboard(folder: str | os.PathLike[str]) -> Iterator[Board]:
    """A board in a folder, for ``tensorboard --logdir``.

    Raises:
        MissingExtraError: tensorboard is not installed.
        FileError: the folder cannot be written.

    Example:
        >>> with tensorboard("out/board") as board:  # doctest: +SKIP
        ...     board.structure(netsmith.trace(small, x))
        ...     tuned = finetune(small, data, epochs=5, progress=board.progress)
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise missing_extra("tensorboard", "tensorboard", "a TensorBoard") from error
    try:
        writer: Any = SummaryWriter(os.fspath(folder))
    except OSError as error:
        raise FileError(f"{os.fspath(folder)} cannot be written ({error.strerror}); give another folder") from error
    try:
        yield Board(writer)
    finally:
        writer.close()


def picture(widths: torch.Tensor) -> torch.Tensor:
    """(3, height, width) uint8: one bar an axis, in the model's order, from top to bottom."""
    height = len(widths) * (_ROW + _GAP) + _GAP
    canvas = torch.full((3, height, _WIDE + 2 * _GAP), 255, dtype=torch.uint8)
    for i, size in enumerate(widths.tolist()):
        top = _GAP + i * (_ROW + _GAP)
        long = max(1, round(_WIDE * size / int(widths.max())))
        canvas[:, top : top + _ROW, _GAP : _GAP + long] = torch.tensor(_INK, dtype=torch.uint8)[:, None, None]
    return canvas
