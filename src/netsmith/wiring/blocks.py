"""Which modules have the same axes in and out: what can later be cut, merged or repeated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from .capture import Capture
from .layouts import Layout
from .wiring import Block


def find_blocks(model: nn.Module, captured: Capture, layout_of: Callable[[Any], Layout]) -> tuple[Block, ...]:
    """Modules that hold parameters, run once, and return their first input's layout unchanged."""
    modules = dict(model.named_modules())
    runs: dict[str, int] = {}
    for call in captured.module_calls:
        runs[call.path] = runs.get(call.path, 0) + 1
    blocks = []
    for call in captured.module_calls:
        if not call.path or runs[call.path] > 1 or not call.inputs or not call.outputs:
            continue
        if [layout_of(d) for d in call.inputs[0]] != [layout_of(d) for d in call.outputs[0]]:
            continue
        module = modules[call.path]
        params = sum(p.numel() for p in module.parameters())
        # a layer that only scales or normalizes is no block: it must hold a matrix or a kernel
        if any(p.dim() > 1 for p in module.parameters()):
            blocks.append(Block(call.path, type(module).__name__, call.first_call, call.last_call, params))
    return tuple(sorted(blocks, key=lambda b: (b.first_call, -b.last_call)))
