"""What a plan of block edits does to a model, in place. Only for copies: ``surgery`` makes them, planners try twins."""

from __future__ import annotations

import inspect
from collections import defaultdict

import torch
from torch import fx, nn

from ..errors import PlanError
from ..wiring.depth import drop_entries, parent_of, take_out, write_numbers
from .blending import combine
from .edits import BlockEdit, MergeBlocks, RemoveBlock, RemoveBranch, ReplaceBlock
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
        for path in edit.modules:
            if path not in modules:
                raise PlanError(f"{type(model).__name__} has no module {path!r}")
        for key in edit.lists if isinstance(edit, RemoveBlock) else ():
            entries[key].append(list(modules[parent]._modules).index(name))
    for key, positions in entries.items():
        drop_entries(model, key, positions)
    take_out(model, {path: new for edit in plan.block_edits for path, new in stand_ins(model, edit).items()})


def stand_ins(model: nn.Module, edit: BlockEdit) -> dict[str, nn.Module | None]:
    """What comes in each module's place: None where it is deleted."""
    if isinstance(edit, RemoveBlock):
        if edit.delete:
            return {edit.block: None}
        return {edit.block: nn.Identity().train(model.get_submodule(edit.block).training)}
    if isinstance(edit, RemoveBranch):
        return {p: _zeros(model.get_submodule(p), n, p) for p, n in zip(edit.modules, edit.returns, strict=True)}
    return {edit.block: _map(model, edit)}


def _zeros(module: nn.Module, returns: int, path: str) -> nn.Module:
    """A module of torch's own that takes what this one takes, and returns zeros like its first argument."""
    first = next(iter(inspect.signature(module.forward).parameters.values()), None)
    if first is None or first.kind not in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD):
        raise PlanError(f"the forward of {path!r} names no first argument, so nothing can be put in its place")
    graph = fx.Graph()
    x = graph.placeholder(first.name)
    graph.placeholder("*args")
    graph.placeholder("**kwargs")
    zeros = graph.call_function(torch.zeros_like, (x,))
    graph.output((zeros, *[None] * (returns - 1)) if returns else zeros)
    return fx.GraphModule({}, graph, "Zeros").train(module.training)


def _map(model: nn.Module, edit: ReplaceBlock) -> nn.Module:
    block = model.get_submodule(edit.block)
    like = next((p for p in block.parameters() if p.is_floating_point() and edit.width in p.shape), None)
    if like is None:
        raise PlanError(f"{edit.block!r} has no parameter of {edit.width} units, so no map of this width replaces it")
    return _affine(edit, like.device, like.dtype).train(block.training)


def _affine(edit: ReplaceBlock, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """A module that returns its input, until it is fitted."""
    width = edit.width
    outputs, kernel = edit.outputs or width, edit.kernel
    made: nn.Linear | nn.Conv2d
    if edit.kind == "linear":
        made = nn.utils.skip_init(nn.Linear, width, width, device=device, dtype=dtype)
        identity = torch.eye(width, device=device)
    else:
        groups = width if edit.kind == "channels" else 1
        made = nn.utils.skip_init(
            nn.Conv2d, width, outputs, kernel, stride=edit.stride, groups=groups, device=device, dtype=dtype
        )
        identity = torch.ones(width, 1, device=device) if groups > 1 else torch.eye(outputs, width, device=device)
        identity = identity[:, :, None, None].expand(-1, -1, kernel, kernel) / kernel**2
    with torch.no_grad():
        made.weight.copy_(identity.reshape(made.weight.shape))
        assert made.bias is not None
        made.bias.zero_()
    return made
