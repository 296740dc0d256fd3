"""The original with some of its blocks bypassed: what a model without them must equal.

Nothing of surgery is used: the blocks stay, run, and what they return first is thrown away.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import torch
from torch import nn

from ..evidence.bypassing import Instead, bypassed
from ..plans import Plan, RemoveBranch, ReplaceBlock


def with_blocks_bypassed(
    model: nn.Module, plan: Plan, tensor: Callable[[str], torch.Tensor]
) -> AbstractContextManager[None]:
    """While it is open, the plan's blocks return their first input, or the stated map of it; its branches zeros.

    Args:
        model: the original.
        plan: with edits of blocks.
        tensor: name in the edited model -> value, for the weights and biases of the maps.
    """
    instead: dict[str, Instead] = {}
    for edit in plan.block_edits:
        instead[edit.block] = "zeros" if isinstance(edit, RemoveBranch) else None
        if isinstance(edit, ReplaceBlock):
            instead[edit.block] = partial(_mapped, edit, plan.place(edit.block), tensor)
    return bypassed(model, instead)


def _mapped(
    edit: ReplaceBlock, place: str | None, tensor: Callable[[str], torch.Tensor], x: torch.Tensor
) -> torch.Tensor:
    weight, bias = tensor(f"{place}.weight"), tensor(f"{place}.bias")
    if edit.kind == "linear":
        return torch.einsum("...i,oi->...o", x, weight) + bias
    constant = bias.reshape(1, -1, 1, 1)
    if edit.kind == "channels":
        return x * weight.reshape(1, -1, 1, 1) + constant
    patches = nn.functional.unfold(x, edit.kernel, stride=edit.stride)  # (N, inputs · kernel², positions)
    made = torch.einsum("nip,oi->nop", patches, weight.flatten(1))
    return made.unflatten(2, (-1, (x.shape[3] - edit.kernel) // edit.stride + 1)) + constant
