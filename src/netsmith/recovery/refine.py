"""Refits the layers of an edited network together, stretch by stretch: earlier ones given the later ones.

``compensate`` fits one layer at a time towards what that layer gave. Here all layers between two points of the network
(one or two residual blocks, a few plain layers) are fitted together towards what the original gives at the second
point, so that units which stay may take on new tasks. The error is local: no label is needed, and nothing is propagated
through more than one stretch. Each is solved by a few steps of a Gauss-Newton method with conjugate directions;
held-out batches say when to stop.

Sources: block-wise reconstruction as in Li et al., ICLR 2021, arXiv:2102.05426 (BRECQ), solved by preconditioned
Gauss-Newton steps (Martens & Grosse, ICML 2015, arXiv:1503.05671) towards the original's activations.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch

from ..data.freed_memory import freed_memory_kept
from ..data.running import eval_mode
from ..evidence import calibration_batches, device_of
from ..evidence.formats import channels_last
from ..evidence.masks import Mask
from ..plans import Plan
from ..wiring import Wiring
from ..wiring.layouts import axis_names, kept_positions
from ..wiring.trace import as_run
from .cut_before import pruned_wiring
from .repaired import Repaired
from .segments import find_segments
from .stretches import Progress, Stretch, fit_stretches, held_out_divergence

_WORSE = 1.5  # so much more divergence on a few held-out examples is no chance: what was fitted locally has done harm


@freed_memory_kept()
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
        repaired: what ``compensate`` gave, its plan as one for the original (``Plan.after``) where blocks were cut
            before; not changed.
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
        before and after. What did not help is undone; so is everything, if in the end the network's outputs on held-out
        batches are clearly farther from the original's.

    Raises:
        EvidenceError: empty data, values that are not finite, or a forward whose path depends on values.
    """
    batches = calibration_batches(data, most_examples=most_examples, device=device_of(wiring.model))
    plan, model = repaired.plan, copy.deepcopy(repaired.model).eval()
    if steps < 1 or not plan.edits:
        return Repaired(model, plan, {})
    batches = channels_last(wiring.model, batches)
    wiring = as_run(wiring, batches[0])
    pruned, wanted = pruned_wiring(wiring, plan, batches[0])
    stretches = [Stretch(segment, wanted(segment.end)) for segment in find_segments(pruned, plan)]
    ends = {stretch.wanted: stretch.segment.end for stretch in stretches}
    with eval_mode(wiring.model), eval_mode(repaired.model):
        errors, refitted = fit_stretches(
            wiring,
            pruned,
            model,
            stretches,
            batches,
            lambda call, value: _kept(pruned, plan, ends[call], value),
            steps=steps,
            strength=strength,
            mask=mask,
            seed=seed,
            progress=progress,
        )
        judged = held_out_divergence(wiring.model, [repaired.model, model], batches)
    if judged and not judged[1] <= _WORSE * judged[0]:
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
