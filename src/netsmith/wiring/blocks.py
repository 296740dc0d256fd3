"""Which modules have the same axes in and out: what can be cut, merged or repeated.

A block can be taken out when its result is all that anything behind it reads of what it computes. Whether that is a
good idea data must say; whether a model without it still does what remains, call by call, ``without.py`` proves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from torch import nn

from .capture import Capture, ModuleCall
from .layouts import Layout
from .recorder import Origin, Recorded
from .wiring import Block

ADDITIONS = frozenset("add add_ __add__ __radd__ __iadd__ sub sub_ __sub__ __isub__".split())


def find_blocks(model: nn.Module, captured: Capture, layout_of: Callable[[Any], Layout]) -> tuple[Block, ...]:
    """Modules that hold parameters, run once, and return their first input's layout unchanged."""
    modules = dict(model.named_modules())
    runs: dict[str, int] = {}
    for call in captured.module_calls:
        runs[call.path] = runs.get(call.path, 0) + 1
    calls = captured.recorder.calls[: captured.eval_calls]
    matrices = {name for name, (tensor, _) in captured.tensors.items() if tensor.dim() > 1}
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
            entry, result = call.entered[0], call.left[0]
            blocks.append(
                Block(
                    call.path,
                    type(module).__name__,
                    call.first_call,
                    call.last_call,
                    params,
                    entry,
                    result,
                    _reaches(calls, call, matrices),
                    kept_for(calls, call.first_call, call.last_call, entry, result, captured.output_origins),
                )
            )
    return tuple(sorted(blocks, key=lambda b: (b.first_call, -b.last_call)))


def _reaches(calls: Sequence[Recorded], block: ModuleCall, matrices: set[str]) -> bool:
    """Whether the block's input reaches its output through sums and calls that read no matrix and no kernel."""
    entry, pending, seen = block.entered[0], [block.left[0]], set()
    while pending:
        origin = pending.pop()
        if origin == entry:
            return True
        if origin.kind != "call" or origin.call in seen or not block.first_call <= origin.call <= block.last_call:
            continue
        seen.add(origin.call)
        call = calls[origin.call]
        computed = {o for o in call.origins if o.kind in ("call", "input")}
        gate = len(computed) > 1 and call.name not in ADDITIONS
        if not gate and not any(o.kind == "slot" and o.name in matrices for o in call.origins):
            pending += call.origins
    return False


def kept_for(
    calls: Sequence[Recorded], first: int, last: int, entry: Origin, result: Origin, given_out: Collection[Origin]
) -> str | None:
    """Why this range of calls cannot be taken out; None where its result is all that anything behind it reads."""
    if entry.kind not in ("call", "input"):
        return "its input is computed by nothing"
    if result.kind != "call" or not first <= result.call <= last:
        return "it computes nothing on its way"
    for call in calls[last + 1 :]:
        for origin in call.origins:
            if origin != result and origin.kind == "call" and first <= origin.call <= last:
                return f"{call.module or 'the model'} reads what its {calls[origin.call].name} computes"
    if any(o != result and o.kind == "call" and first <= o.call <= last for o in given_out):
        return "the model gives out more of what it computes"
    return None
