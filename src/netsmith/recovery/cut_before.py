"""What a network whose blocks were cut before it was pruned is to reproduce: the original, at the calls they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import EvidenceError
from ..plans import Plan
from ..plans.depth import blocks_gone
from ..surgery import apply
from ..wiring import Wiring, trace
from ..wiring.trace import as_run
from ..wiring.without import matched_calls
from .rejoin import wanted_of


def pruned_wiring(original: Wiring, plan: Plan, inputs: Any) -> tuple[Wiring, Callable[[int], int]]:
    """The wiring that the last of a plan's steps is for, and for each of its calls the one whose result is wanted.

    Args:
        original: wiring of the original, as it runs on ``inputs``.
        plan: removes units, perhaps after one plan of block edits.
        inputs: of one batch.

    Raises:
        EvidenceError: without the blocks, forward takes another path with this data than with the example inputs.
    """
    if not plan.before:
        return original, lambda call: call
    (cut,) = plan.before
    shorter = as_run(trace(apply(original.model, cut).eval(), original.example_inputs), inputs)
    gone = blocks_gone(original, cut.block_edits)
    numbers = matched_calls(original, shorter.model, gone, cut.renamed)
    if numbers is None:
        raise EvidenceError("forward takes another path with this data than with the example inputs")
    back = {new: old for old, new in numbers.items()}
    return shorter, lambda call: wanted_of(gone, back[call])
