"""Fits the layers of an edited network stretch by stretch, in the order in which forward runs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from ..evidence import Checkpoint, Stop, advance, device_of, examples_in, first_output, mean_divergence
from ..evidence.masks import Mask, counted_part, mask_of
from ..evidence.patches import groups_of, input_rows, row_count
from ..evidence.side_by_side import each
from ..evidence.taping import Tape, tape
from ..wiring import Wiring, call_model, tensor_slots
from .curvature import FittedLayer
from .gauss_newton import Fit
from .segments import Segment

Progress = Callable[[int, int, str], None]

_ROWS_PER_INPUT = 250  # of error, for each input of the widest layer
_FEWEST_EXAMPLES = 256
_MOST_INPUTS = 8192  # of a layer: the square of it is factored


@dataclass(frozen=True)
class Stretch:
    """Layers of the edited network to fit, and what they are to give.

    Attributes:
        segment: of the edited network.
        wanted: the original's call whose result is wanted at the segment's end.
    """

    segment: Segment
    wanted: int


def fit_stretches(
    original: Wiring,
    edited: Wiring,
    model: nn.Module,
    stretches: Sequence[Stretch],
    batches: Sequence[Any],
    target: Callable[[int, torch.Tensor], torch.Tensor],
    *,
    steps: int,
    strength: float,
    mask: Mask | None,
    seed: int,
    progress: Progress | None,
) -> tuple[dict[str, tuple[float, float]], set[str]]:
    """Fit one stretch after the other, in place, on what arrives through those before it.

    Args:
        original, edited: wirings with the calls that the two networks make on these batches.
        model: the edited network, in eval mode.
        stretches: in order.
        batches: inputs.
        target: (call of the original, its result) -> what the stretch is to give.
        steps, strength, mask, seed, progress: as in ``refine``.

    Returns:
        First layer of each stretch -> held-out squared error before and after, and the tensors that may have changed.
    """
    counted, device = [mask_of(mask, inputs) for inputs in batches], device_of(model)
    judges = held_out(batches)
    generator = torch.Generator().manual_seed(seed)
    slots = {slot.name: slot.tensor for slot in tensor_slots(model)}
    errors: dict[str, tuple[float, float]] = {}
    refitted: set[str] = set()
    originals = [Checkpoint(0, inputs) for inputs in batches]
    reached = list(originals)
    for done, stretch in enumerate(stretches):
        segment, first = stretch.segment, stretch.segment.refits[0].call
        originals = each(partial(_advanced, original, stretch.wanted + 1), originals, device)
        whole = [target(stretch.wanted, c.answers[stretch.wanted]) for c in originals]
        targets = [counted_part(t, m) for t, m in zip(whole, counted, strict=True)]
        starts = each(partial(_advanced, edited, first, model=model), reached, device)
        shapes = _shapes(tape(edited, model, starts[0], segment.end), segment)
        layers = [
            FittedLayer(r, slots, shapes[r.call].groups)
            for r in segment.refits
            if slots[r.weight].dtype in (torch.float32, torch.float64) and shapes[r.call].inputs <= _MOST_INPUTS
        ]
        if layers:
            chosen = range(min(_enough(shapes, batches), len(batches) - len(judges)))
            used = (*chosen, *judges)
            tapes = each(lambda i: tape(edited, model, starts[i], segment.end), used, device)  # noqa: B023
            taped = {i: (replace(t, counted=counted[i]), targets[i]) for i, t in zip(used, tapes, strict=True)}
            fit = Fit(layers, [taped[i] for i in chosen], generator)
            errors[segment.refits[0].weight] = fit.run([taped[i] for i in judges or chosen], steps, strength)
            refitted |= fit.restate(slots)
        reached = each(partial(_advanced, edited, segment.end + 1, model=model), starts, device)
        if progress:
            progress(done + 1, len(stretches), segment.refits[0].weight)
    return errors, refitted


def _advanced(wiring: Wiring, call: int, start: Checkpoint, model: nn.Module | None = None) -> Checkpoint:
    return advance(wiring, start, max(call, start.call), model)


@torch.no_grad()
def held_out_divergence(original: nn.Module, models: Sequence[nn.Module], batches: Sequence[Any]) -> list[float]:
    """Of each model's outputs from the original's, on the batches that judge; empty where none do."""
    judges = [batches[i] for i in held_out(batches)]
    references = [first_output(call_model(original, inputs)) for inputs in judges]
    return [mean_divergence(model, judges, references) for model in models] if judges else []


def held_out(batches: Sequence[Any]) -> range:
    """The last batches, an eighth of the examples, judge; none where there are few."""
    if len(batches) < 4:
        return range(0)
    sizes, count = [examples_in(inputs) for inputs in batches], 1
    while sum(sizes[-count:]) < sum(sizes) / 8:
        count += 1
    return range(len(batches) - count, len(batches))


@dataclass(frozen=True)
class _Shape:
    """Of one layer on one batch."""

    groups: int
    inputs: int
    rows: int


def _shapes(first: Tape, segment: Segment) -> dict[int, _Shape]:
    found: dict[int, _Shape] = {}

    def look(stop: Stop, out: torch.Tensor) -> torch.Tensor:
        one = torch.zeros(1, dtype=torch.long, device=out.device)
        found[stop.index] = _Shape(groups_of(stop), input_rows(stop, one).shape[2], row_count(out, stop.name))
        return out

    with torch.no_grad():
        first.run(look, frozenset(r.call for r in segment.refits))
    return found


def _enough(shapes: Mapping[int, _Shape], batches: Sequence[Any]) -> int:
    """Batches that give every layer rows in plenty."""
    examples = [examples_in(inputs) for inputs in batches]
    total = 0
    for count, number in enumerate(examples, 1):
        total += number
        share = total / examples[0]
        if total >= _FEWEST_EXAMPLES and all(s.rows * share >= _ROWS_PER_INPUT * s.inputs for s in shapes.values()):
            return count
    return len(examples)
