"""What a plan of block edits does to a model, in place. Only for copies: ``surgery`` makes them, planners try twins."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import nn

from ..errors import PlanError
from ..wiring.depth import drop_entries, parent_of, take_out, write_numbers
from .blending import combine
from .edits import MergeBlocks, RemoveBlock, ReplaceBlock
from .plan import Plan


def carry_out(model: nn.Module, plan: Plan) -> None:
    """Carry out the block edits of a plan (not of those before it) on a model of one's own.

    Raises:
        PlanError: the plan does not fit the model.
    """
    write_numbers(model, plan.attributes)
    combine(model, [edit for edit in plan.block_edits if isinstance(edit, MergeBlocks)])
    entries: dict[str, list[int]] = defaultdict(list)
    modules = dict(model.named_modules())
    for edit in plan.block_edits:
        parent, name = parent_of(edit.block)
        if edit.block not in modules:
            raise PlanError(f"{type(model).__name__} has no module {edit.block!r}")
        for key in edit.lists if isinstance(edit, RemoveBlock) else ():
            entries[key].append(list(modules[parent]._modules).index(name))
    for key, positions in entries.items():
        drop_entries(model, key, positions)
    take_out(model, {edit.block: stand_in(model, edit) for edit in plan.block_edits})


def stand_in(model: nn.Module, edit: RemoveBlock | ReplaceBlock) -> nn.Module | None:
    """What comes in a block's place: None where it is deleted."""
    if isinstance(edit, RemoveBlock):
        return None if edit.delete else nn.Identity()
    block = model.get_submodule(edit.block)
    like = next((p for p in block.parameters() if p.is_floating_point() and edit.width in p.shape), None)
    if like is None:
        raise PlanError(f"{edit.block!r} has no parameter of {edit.width} units, so no map of this width replaces it")
    return _affine(edit, like.device, like.dtype).train(block.training)


def _affine(edit: ReplaceBlock, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """A module that returns its input, until it is fitted."""
    width = edit.width
    made: nn.Linear | nn.Conv2d
    if edit.kind == "linear":
        made = nn.utils.skip_init(nn.Linear, width, width, device=device, dtype=dtype)
        identity = torch.eye(width)
    else:
        groups = width if edit.kind == "channels" else 1
        made = nn.utils.skip_init(nn.Conv2d, width, width, 1, groups=groups, device=device, dtype=dtype)
        identity = (torch.ones(width, 1) if groups > 1 else torch.eye(width))[:, :, None, None]
    with torch.no_grad():
        made.weight.copy_(identity.reshape(made.weight.shape))
        assert made.bias is not None
        made.bias.zero_()
    return made
