"""How much the outputs depend on each choice for a block: that it goes, or that a map takes its place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from ..data.running import eval_mode
from ..evidence import calibration_batches, device_of, first_output
from ..evidence.bypassing import Instead
from ..evidence.influence import divergences
from ..plans import RemoveBlock, ReplaceBlock
from ..recovery.bridging import bridges
from ..wiring import Wiring, call_model

_MOST_EXAMPLES = 256


def choice_influence(
    wiring: Wiring,
    data: Iterable[Any],
    choices: Mapping[str, RemoveBlock | ReplaceBlock],
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, float]:
    """Divergence of the outputs from the original's under each choice alone; a map is fitted in closed form first.

    Args:
        wiring: of the model.
        data: unlabelled batches; 256 examples are used at most.
        choices: as in ``Menus.blocks``.
        progress: called with (choices done, choices in all, choice).

    Raises:
        EvidenceError: empty data, values that are not finite, or a forward whose path depends on values.
    """
    batches = calibration_batches(data, most_examples=_MOST_EXAMPLES, device=device_of(wiring.model))
    with eval_mode(wiring.model), torch.no_grad():
        references = [first_output(call_model(wiring.model, inputs)) for inputs in batches]
        fitted: dict[tuple[str, str], Instead] = {}
        for block in dict.fromkeys(edit.block for edit in choices.values() if isinstance(edit, ReplaceBlock)):
            for bridge in bridges(wiring.model, block, block, batches[:-1] or batches):
                fitted[block, bridge.edit.kind] = bridge.function
        changes = {
            choice: {edit.block: fitted[edit.block, edit.kind] if isinstance(edit, ReplaceBlock) else None}
            for choice, edit in choices.items()
        }
        return divergences(wiring, batches, references, changes, progress)
