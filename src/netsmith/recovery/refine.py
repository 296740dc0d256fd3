"""Refits the layers of an edited network together, stretch by stretch: earlier ones given the later ones.

``compensate`` fits one layer at a time towards what that layer gave. Here all layers between two points of the network
(a residual block, a few plain layers) are fitted together towards what the original gives at the second point, so that
units which stay may take on new tasks. The error is local: nothing looks at the network's output, no label is needed,
and nothing is propagated through more than one stretch. Each is solved by a few steps of a Gauss-Newton method with
conjugate directions; held-out batches say when to stop.

Sources: block-wise reconstruction as in Li et al., ICLR 2021, arXiv:2102.05426 (BRECQ), solved by preconditioned
Gauss-Newton steps (Martens & Grosse, ICML 2015, arXiv:1503.05671) towards the original's activations.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..data.running import eval_mode
from ..evidence import (
    Checkpoint,
    Stop,
    advance,
    calibration_batches,
    device_of,
    examples_in,
    first_output,
    mean_divergence,
)
from ..evidence.masks import Mask, counted_part, mask_of
from ..evidence.patches import groups_of, input_rows, row_count
from ..evidence.taping import Tape, tape
from ..plans import Plan
from ..wiring import Wiring, call_model, tensor_slots
from ..wiring.layouts import axis_names, kept_positions
from ..wiring.trace import as_run
from .curvature import FittedLayer
from .gauss_newton import Fit
from .repaired import Repaired
from .segments import Segment, find_segments

Progress = Callable[[int, int, str], None]

_ROWS_PER_INPUT = 400  # of error, for each input of the widest layer
_FEWEST_EXAMPLES = 256
_MOST_INPUTS = 8192  # of a layer: the square of it is factored


def refine(
    wiring: Wiring,
    repaired: Repaired,
    data: Iterable[Any],
    *,
    steps: int = 16,
    most_examples: int = 1024,
    strength: float = 1e-2,
    mask: Mask | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Repaired:
    """Fit the layers of each stretch of a repaired network together.

    Args:
        wiring: of the original model.
        repaired: what ``compensate`` gave; not changed.
        data: unlabelled calibration batches, each ``x`` or ``(x, y)``; labels are not looked at.
        steps: for each stretch, at most.
        most_examples: examples used at most; stretches with many positions an example make do with fewer.
        strength: ridge penalty towards the repaired weights, as a share of the mean input variance.
        mask: inputs -> (examples, positions), false or 0 where padding is, which then does not count; e.g.
            ``lambda x: x["attention_mask"]``.
        seed: of everything drawn at random.
        progress: called with (stretches done, stretches in all, name of the first layer).

    Returns:
        The refined model and its plan; ``errors`` maps the first layer of each stretch to its held-out squared error
        before and after. What did not help is undone; so is everything, if in the end the network's outputs on the
        held-out batch have not come nearer to the original's.

    Raises:
        EvidenceError: empty data, values that are not finite, or a forward whose path depends on values.
    """
    batches = calibration_batches(data, most_examples=most_examples, device=device_of(wiring.model))
    plan, model = repaired.plan, copy.deepcopy(repaired.model).eval()
    errors: dict[str, tuple[float, float]] = {}
    if steps < 1 or not plan.edits:
        return Repaired(model, plan, errors)
    wiring = as_run(wiring, batches[0])
    counted = [mask_of(mask, inputs) for inputs in batches]
    segments = find_segments(wiring, plan)
    held_out = len(batches) - 1 if len(batches) > 3 else -1  # the last batch judges
    generator = torch.Generator().manual_seed(seed)
    slots = {slot.name: slot.tensor for slot in tensor_slots(model)}
    refitted: set[str] = set()
    with eval_mode(wiring.model), eval_mode(repaired.model):
        originals = [Checkpoint(0, inputs) for inputs in batches]
        edited = list(originals)
        for done, segment in enumerate(segments):
            originals = [advance(wiring, c, segment.end + 1) for c in originals]
            whole = [_kept(wiring, plan, segment.end, c.answers[segment.end]) for c in originals]
            targets = [counted_part(t, m) for t, m in zip(whole, counted, strict=True)]
            first = segment.refits[0].call
            starts = [advance(wiring, c, max(first, c.call), model) for c in edited]
            shapes = _shapes(tape(wiring, model, starts[0], segment.end), segment)
            layers = [
                FittedLayer(r, slots, shapes[r.call].groups)
                for r in segment.refits
                if slots[r.weight].dtype in (torch.float32, torch.float64) and shapes[r.call].inputs <= _MOST_INPUTS
            ]
            if layers:
                chosen = [i for i in range(_enough(shapes, batches)) if i != held_out]
                tapes = {
                    i: replace(tape(wiring, model, starts[i], segment.end), counted=counted[i])
                    for i in {*chosen, held_out}
                    if i >= 0
                }
                fit = Fit(layers, [(tapes[i], targets[i]) for i in chosen], generator)
                judge = (tapes[held_out], targets[held_out]) if held_out >= 0 else None
                errors[segment.refits[0].weight] = fit.run(judge, steps, strength)
                refitted |= fit.restate(slots)
            del starts
            edited = [advance(wiring, c, segment.end + 1, model) for c in edited]
            if progress:
                progress(done + 1, len(segments), segment.refits[0].weight)
        if held_out >= 0:
            references = [first_output(call_model(wiring.model, batches[held_out])).detach()]
            before, after = (mean_divergence(each, batches[held_out:], references) for each in (repaired.model, model))
            if not after < before:
                return Repaired(copy.deepcopy(repaired.model), plan, {})
    return Repaired(model, plan.with_refitted(refitted), errors)


def _kept(wiring: Wiring, plan: Plan, call: int, value: torch.Tensor) -> torch.Tensor:
    """The original's result, restricted to the units that the edited model still makes."""
    keep = plan.keep()
    for dim, layout in enumerate(wiring.calls[call].outputs[0]):
        if any(name in keep for name in axis_names(layout)):
            positions = kept_positions(layout, wiring.sizes, keep)
            value = value.index_select(dim, torch.tensor(positions, device=value.device))
    return value.detach()


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
