"""The blocks of a stack that change the shape: the first of a ResNet's stage.

They cannot be bypassed, but an affine map of their input can take their place: a convolution with their stride.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from . import spaces
from .blocks import kept_for
from .capture import Capture, ModuleCall
from .depth import parent_of
from .wiring import Block, Transition


def find_transitions(model: nn.Module, captured: Capture, blocks: Sequence[Block]) -> tuple[Transition, ...]:
    """Modules that stand in a container beside residual blocks, and give images of other widths or sizes."""
    stacks = {parent_of(block.name)[0] for block in blocks if block.residual}
    names = {block.name for block in blocks}
    runs = [call.path for call in captured.module_calls]
    calls = captured.recorder.calls[: captured.eval_calls]
    modules = dict(model.named_modules())
    found = []
    for call in captured.module_calls:
        parent, _ = parent_of(call.path)
        stands = parent in stacks and isinstance(modules[parent], (nn.Sequential, nn.ModuleList))
        if not stands or call.path in names or runs.count(call.path) > 1 or call.returns != 0:
            continue
        stride = _stride(call)
        params = list(modules[call.path].parameters())
        if stride is None or sum(p.dim() > 2 for p in params) < 2:
            continue
        entry, result = call.entered[0], call.left[0]
        found.append(
            Transition(
                name=call.path,
                kind=type(modules[call.path]).__name__,
                first_call=call.first_call,
                last_call=call.last_call,
                params=sum(p.numel() for p in params),
                entry=entry,
                result=result,
                residual=False,
                kept=kept_for(calls, call.first_call, call.last_call, entry, result, captured.output_origins),
                inputs=spaces.size_of(call.inputs[0][1]),
                outputs=spaces.size_of(call.outputs[0][1]),
                stride=stride,
            )
        )
    return tuple(found)


def _stride(call: ModuleCall) -> int | None:
    """By how much (N, C, H, W) gets smaller, rounded up; None where it is no image before or after."""
    if not call.inputs or len(call.inputs[0]) != 4 or len(call.outputs[0]) != 4:
        return None
    before, after = ([spaces.size_of(dim) for dim in dims] for dims in (call.inputs[0], call.outputs[0]))
    if before[0] != after[0] or not 0 < after[2] <= before[2]:
        return None
    stride = -(-before[2] // after[2])
    fits = all(-(-b // stride) == a for b, a in zip(before[2:], after[2:], strict=True))
    return stride if fits else None
