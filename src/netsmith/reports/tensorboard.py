"""TensorBoard: the curves of a training run, and the structure that is trained.

Training knows nothing of it: it is given ``board.progress`` as its progress callback.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

import torch

from ..errors import FileError, InputError, missing_extra
from ..wiring import Wiring
from .graph import graph_of
from .record import CostRecord, RunRecord
from .sentence import result_of, result_sentence

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_ROW, _GAP, _WIDE = 12, 4, 640  # pixels of a bar, between bars, and of the widest axis
_INK = (31, 111, 139)


class Board:
    """Where a run is written to."""

    def __init__(self, writer: SummaryWriter):
        self._writer = writer

    def run(self, run: RunRecord) -> None:
        """A run: costs, scores and predicted latency of every step, its options with the last scores, and its sentence.

        Candidates of a search stand under "candidates", in the order of their cost.
        """
        for i, step in enumerate(run.steps):
            for name, value in _numbers(step.cost, step.scores).items():
                self._writer.add_scalar(f"steps/{name}", value, i)
        ordered = sorted(run.candidates, key=lambda each: each.cost.macs)
        for i, candidate in enumerate(ordered):
            for name, value in _numbers(candidate.cost, candidate.scores).items():
                self._writer.add_scalar(f"candidates/{candidate.origin}/{name}", value, i)
        self._writer.add_text("run/result", escape(result_sentence(run)))
        rows = [f"| {i} | {escape(step.name)} | {escape(step.kind)} |" for i, step in enumerate(run.steps)]
        self._writer.add_text("run/steps", "\n".join(["| step | name | kind |", "|---|---|---|", *rows]))
        if run.axes:
            before, after = ([getattr(axis, side) for axis in run.axes] for side in ("before", "after"))
            self._writer.add_image("run/axes before", picture(torch.tensor(before)))
            self._writer.add_image("run/axes after", picture(torch.tensor(after), widest=max(before)))
        result = result_of(run)
        final = _numbers(result.cost, result.scores) if result is not None else {}
        options = {name: _option(value) for name, value in {"model": run.model, "seed": run.seed, **run.asked}.items()}
        # "." keeps it in this run; TensorBoard would show another one.
        self._writer.add_hparams(options, {f"result/{name}": value for name, value in final.items()}, run_name=".")

    def graph(self, wiring: Wiring) -> None:
        """The calls of the model as a graph, each inside its module.

        Args:
            wiring: of the model, from ``trace``. TorchScript, on which ``add_graph`` of torch rests, is not needed.
        """
        from tensorboard.compat.proto.event_pb2 import Event

        event = Event(graph_def=graph_of(wiring).SerializeToString())
        self._writer._get_file_writer().add_event(event)

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


def picture(widths: torch.Tensor, *, widest: int | None = None) -> torch.Tensor:
    """(3, height, width) uint8: one bar an axis, in the model's order, from top to bottom.

    Args:
        widths: units of each axis.
        widest: width that fills the picture; None: the greatest. Bars beyond it are cut off.
    """
    widest = max(1, int(widths.max()) if widest is None else widest)
    height = len(widths) * (_ROW + _GAP) + _GAP
    canvas = torch.full((3, height, _WIDE + 2 * _GAP), 255, dtype=torch.uint8)
    for i, size in enumerate(widths.tolist()):
        top = _GAP + i * (_ROW + _GAP)
        long = min(_WIDE, max(min(size, 1), round(_WIDE * size / widest)))
        canvas[:, top : top + _ROW, _GAP : _GAP + long] = torch.tensor(_INK, dtype=torch.uint8)[:, None, None]
    return canvas


def _numbers(cost: CostRecord | None, scores: Mapping[str, float]) -> dict[str, float]:
    """Costs and scores that were measured."""
    measured = {} if cost is None else cost.model_dump()
    return {name: float(value) for name, value in {**measured, **scores}.items() if value is not None}


def _option(value: Any) -> bool | int | float | str:
    """An option as HParams take it."""
    return value if isinstance(value, bool | int | float | str) else json.dumps(value, ensure_ascii=False)
