"""The original with some of its blocks bypassed: what a model without them must equal.

Nothing of surgery is used: the blocks stay, run, and what they return first is thrown away.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from ..plans import Plan, RemoveBlock, ReplaceBlock
from ..wiring.depth import renamed
from ..wiring.inputs import map_tensors
from ..wiring.recorder import tensors_in


@contextlib.contextmanager
def bypassed(model: nn.Module, plan: Plan, tensor: Callable[[str], torch.Tensor]) -> Iterator[None]:
    """While it is open, the plan's blocks return their first input, or the stated map of it, as their first output.

    Args:
        model: the original.
        plan: with edits of blocks.
        tensor: name in the edited model -> value, for the weights and biases of the maps.
    """
    handles = []
    for edit in plan.block_edits:
        entered: list[torch.Tensor] = []

        def enter(module: nn.Module, args: tuple, kwargs: dict, entered: list[torch.Tensor] = entered) -> Any:
            entered.append(tensors_in((args, kwargs))[0])
            return map_tensors((args, kwargs), torch.clone)  # what the block overwrites is its own

        def leave(
            module: nn.Module,
            args: tuple,
            kwargs: dict,
            out: Any,
            entered: list[torch.Tensor] = entered,
            edit: RemoveBlock | ReplaceBlock = edit,
        ) -> Any:
            x = entered.pop()
            if isinstance(edit, ReplaceBlock):
                place = place_of(plan, edit)
                x = _mapped(x, edit.kind, tensor(f"{place}.weight"), tensor(f"{place}.bias"))
            return _with_first(out, x)

        module = model.get_submodule(edit.block)
        handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
        handles.append(module.register_forward_hook(leave, with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def place_of(plan: Plan, edit: ReplaceBlock) -> str:
    """Module path of the map in the edited model."""
    place = renamed(edit.block, [e.block for e in plan.block_edits if isinstance(e, RemoveBlock) and e.delete])
    assert place is not None
    return place


def _mapped(x: torch.Tensor, kind: str, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    if kind == "linear":
        return torch.einsum("...i,oi->...o", x, weight) + bias
    constant = bias.reshape(1, -1, 1, 1)
    if kind == "channels":
        return x * weight.reshape(1, -1, 1, 1) + constant
    return torch.einsum("nihw,oi->nohw", x, weight.flatten(1)) + constant


def _with_first(out: Any, x: torch.Tensor) -> Any:
    """The block's own output with its first tensor replaced."""
    first = tensors_in(out)[0]
    return map_tensors(out, lambda tensor: x if tensor is first else tensor)
