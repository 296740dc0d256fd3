"""Finds the order of units in which two models' activations are most alike on the same data, in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..data.running import eval_mode
from ..errors import EvidenceError
from ..evidence import Forward, calibration_batches, device_of
from ..wiring import Wiring
from ..wiring.capture import transparent_functional
from ..wiring.layouts import axis_names, unit_positions
from ..wiring.trace import as_run

_CONSUMERS = {"linear": 0, "addmm": 1, "conv1d": 0, "conv2d": 0, "conv3d": 0}
_COLUMNS = 4096  # samples of one unit taken of each call and batch


def correlations(
    wiring: Wiring,
    model: nn.Module,
    axes: Sequence[str],
    data: Iterable[Any],
    *,
    most_examples: int = 512,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Axis -> (units of the wiring's model, units of the other): correlation of what the two make of the same data.

    Read where a matrix or a convolution takes the axis in, so behind normalization and activation function; of an axis
    that several take in, the mean. Axes that none takes in are left out.

    Args:
        wiring: of one model.
        model: the other, of the same structure.
        axes: names.
        data: batches, each ``x`` or ``(x, y)``.
        most_examples: examples used at most.
        seed: of the positions that are sampled.

    Raises:
        EvidenceError: no data, or a forward whose path depends on values.

    Source: Li et al., "Convergent learning", 2015, arXiv:1511.07543; Ainsworth et al., arXiv:2209.04836, section 3.1.
    """
    batches = calibration_batches(data, most_examples=most_examples, device=device_of(wiring.model))
    sums: dict[str, _Products] = {}
    generator = torch.Generator().manual_seed(seed)
    with eval_mode(wiring.model), eval_mode(model), torch.no_grad(), transparent_functional():
        run = as_run(wiring, batches[0])
        places = _places(run, axes)
        stops = {index: run.calls[index].name for index in places}
        for inputs in batches:
            pair = Forward(wiring.model, inputs, stops), Forward(model, inputs, stops)
            try:
                at = [forward.resume() for forward in pair]
                while at[0] is not None and at[1] is not None:
                    taken = _CONSUMERS[at[0].name]
                    entering = [_argument(stop, taken) for stop in at if stop is not None]
                    for axis, dim, positions in places[at[0].index]:
                        if entering[0].dim() <= dim or entering[0].shape[dim] <= int(positions.max()):
                            continue
                        rows = [_samples(x, dim, positions) for x in entering]
                        chosen = torch.randperm(rows[0].shape[1], generator=generator)[:_COLUMNS]
                        key = f"{at[0].index}:{axis}"
                        sums.setdefault(key, _Products()).add(*(r[:, chosen.to(r.device)] for r in rows))
                    at = [
                        forward.resume(stop.run()) for forward, stop in zip(pair, at, strict=True) if stop is not None
                    ]
            finally:
                for forward in pair:
                    forward.abandon()
    found: dict[str, list[Tensor]] = {}
    for key, products in sums.items():
        found.setdefault(key.partition(":")[2], []).append(products.correlation())
    return {axis: torch.stack(each).mean(0) for axis, each in found.items()}


def match_activations(similarity: Mapping[str, Tensor]) -> dict[str, list[int]]:
    """Axis -> unit of the second model for each of the first's: the assignment with the largest sum."""
    from scipy.optimize import linear_sum_assignment

    return {axis: linear_sum_assignment(each.numpy(), maximize=True)[1].tolist() for axis, each in similarity.items()}


class _Products:
    """Running sums for a correlation between the units of two models."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: list[Tensor] = []

    def add(self, a: Tensor, b: Tensor) -> None:
        a, b = a.double().cpu(), b.double().cpu()
        new = [a.sum(1), b.sum(1), a.square().sum(1), b.square().sum(1), a @ b.T]
        if not all(bool(part.isfinite().all()) for part in new):
            raise EvidenceError("activations are NaN or infinite on the data; run the models in float32")
        self.sums = [old + part for old, part in zip(self.sums, new, strict=True)] if self.sums else new
        self.count += a.shape[1]

    def correlation(self) -> Tensor:
        mean_a, mean_b, square_a, square_b, product = (part / self.count for part in self.sums)
        spread_a = (square_a - mean_a.square()).clamp_min(1e-12).sqrt()
        spread_b = (square_b - mean_b.square()).clamp_min(1e-12).sqrt()
        return (product - mean_a[:, None] * mean_b) / (spread_a[:, None] * spread_b)


def _places(wiring: Wiring, axes: Sequence[str]) -> dict[int, list[tuple[str, int, Tensor]]]:
    """Call -> (axis, dimension, (units, positions each)) of what enters it."""
    found: dict[int, list[tuple[str, int, Tensor]]] = {}
    wanted = set(axes)
    for index, call in enumerate(wiring.calls):
        if call.name not in _CONSUMERS or len(call.inputs) <= _CONSUMERS[call.name]:
            continue
        for dim, layout in enumerate(call.inputs[_CONSUMERS[call.name]]):
            for axis in set(axis_names(layout)) & wanted:
                positions = unit_positions(layout, wiring.sizes, axis)
                if len({len(p) for p in positions}) == 1 and positions[0]:
                    found.setdefault(index, []).append((axis, dim, torch.tensor(positions)))
    return {index: sorted(places, key=lambda place: place[:2]) for index, places in sorted(found.items())}


def _argument(stop: Any, position: int) -> Tensor:
    value = stop.args[position] if position < len(stop.args) else stop.kwargs["input" if position == 0 else "mat1"]
    assert isinstance(value, Tensor)
    return value


def _samples(x: Tensor, dim: int, positions: Tensor) -> Tensor:
    """(units, samples)."""
    chosen = x.movedim(dim, 0).index_select(0, positions.reshape(-1).to(x.device))
    return chosen.reshape(len(positions), -1)
