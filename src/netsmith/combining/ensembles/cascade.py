"""Cascades: the cheap member first; whoever it is sure about leaves, the rest goes on to the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...data.running import device_of, each_batch, eval_mode, logits, to_device
from ...errors import InputError
from ...wiring.inputs import map_tensors
from ...wiring.recorder import tensors_in
from .confidence import Stage, check_measure
from .container import Ensemble, being_read


class Cascade(Ensemble):
    """Members in order of cost. An example leaves after the first member whose confidence reaches its threshold.

    A call runs each member on the examples that are still there, so its work depends on the data. Where forward is
    exported, compiled or traced, every member sees every example and the answers are selected afterwards: the same
    answers (to rounding), at the worst cost. So ``netsmith.measure`` counts the worst case.

    Attributes:
        measure: how confidence is told: "probability", "margin", "entropy" or "agreement" (see ``confidence``).
        combine: "last" answers with the member that an example left at, "mean" with the mean probabilities of all
            members that saw it.
        temperatures: (K,) buffer; each member's scores are divided by its own.
        thresholds: (K-1,) buffer; above 1: nobody leaves there.
    """

    temperatures: Tensor
    thresholds: Tensor

    def __init__(
        self, members: Mapping[str, nn.Module], measure: str, combine: str, temperatures: Tensor, thresholds: Tensor
    ) -> None:
        super().__init__(members)
        check_measure(measure, combine)
        self.measure, self.combine = measure, combine
        self.register_buffer("temperatures", temperatures)
        self.register_buffer("thresholds", thresholds)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """(N, C) log-probabilities."""
        if being_read(args, kwargs):
            return self._everywhere(args, kwargs)
        return self._early(args, kwargs)[0]

    def reached(self, data: Iterable[Any]) -> list[float]:
        """Share of the examples that each member saw, in order; the first is 1.

        Args:
            data: batches x or (x, y).
        """
        seen, total = torch.zeros(len(self.members), dtype=torch.int64), 0
        with eval_mode(self), torch.no_grad():
            for x, _ in each_batch(data):
                x = to_device(x, device_of(self))
                args, kwargs = ((), dict(x)) if isinstance(x, Mapping) else (x if isinstance(x, tuple) else (x,), {})
                last = self._early(args, kwargs)[1]
                seen += torch.stack([(last >= k).sum() for k in range(len(self.members))]).cpu()
                total += len(last)
        return (seen.double() / total).tolist()

    def _early(self, args: Any, kwargs: Any) -> tuple[Tensor, Tensor]:
        """(answers (N, C), index of the last member that saw each example (N,))."""
        count = _examples(args, kwargs)
        answers: Tensor | None = None
        last = torch.zeros(count, dtype=torch.int64, device=self.thresholds.device)
        there = torch.arange(count, device=self.thresholds.device)  # rows that have not left
        stage = Stage(self.measure, self.combine)
        for k, member in enumerate(self.members):
            stage = stage.after(logits(member(*args, **kwargs)) / self.temperatures[k])
            answers = stage.answer if answers is None else answers.index_copy(0, there, stage.answer)
            last[there] = k
            if k + 1 == len(self.members):
                break
            goes_on = (stage.confidence < self.thresholds[k]).nonzero().squeeze(1)
            if not len(goes_on):
                break
            if len(goes_on) < len(there):
                args, kwargs = _rows((args, kwargs), goes_on)
                stage, there = stage.rows(goes_on), there[goes_on]
        if answers is None:
            raise InputError("a cascade needs at least one member")
        return answers, last

    def _everywhere(self, args: Any, kwargs: Any) -> Tensor:
        stage = Stage(self.measure, self.combine)
        gone: Tensor | None = None
        answers: Tensor | None = None
        for k, member in enumerate(self.members):
            stage = stage.after(logits(member(*args, **kwargs)) / self.temperatures[k])
            answers = stage.answer if answers is None else torch.where(gone[:, None], answers, stage.answer)  # type: ignore[index]
            if k + 1 < len(self.members):
                leaves = stage.confidence >= self.thresholds[k]
                gone = leaves if gone is None else gone | leaves
        if answers is None:
            raise InputError("a cascade needs at least one member")
        return answers


def _rows(arguments: Any, rows: Tensor) -> Any:
    return map_tensors(arguments, lambda tensor: tensor.index_select(0, rows))


def _examples(args: Any, kwargs: Any) -> int:
    """Number of examples. Raises InputError unless every tensor has them in its first dimension."""
    shapes = [tuple(tensor.shape) for tensor in tensors_in((args, kwargs))]
    if not shapes or not all(shape and shape[0] == shapes[0][0] for shape in shapes):
        raise InputError(f"a cascade picks examples, so every tensor needs them in its first dimension; given {shapes}")
    return int(shapes[0][0])
