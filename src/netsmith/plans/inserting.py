"""What a plan of insertions does to a model, in place. Only for copies: ``surgery`` makes them, planners try twins."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import nn

from ..errors import PlanError
from ..wiring.copying import copied
from ..wiring.depth import parent_of, put_behind, repeat_entries, write_numbers
from ..wiring.slots import tensor_slots
from .edits import InsertBlock
from .identity import identity_layer
from .plan import Plan


def insert_blocks(model: nn.Module, plan: Plan) -> None:
    """Carry out the insertions of a plan (not of those before it) on a model of one's own.

    Raises:
        PlanError: the plan does not fit the model.
    """
    write_numbers(model, plan.attributes)
    modules = dict(model.named_modules())
    entries: dict[str, list[int]] = defaultdict(list)
    for edit in plan.insertions:
        parent, name = parent_of(edit.block)
        if edit.block not in modules:
            raise PlanError(f"{type(model).__name__} has no module {edit.block!r}")
        for key in edit.lists if isinstance(edit, InsertBlock) else ():
            entries[key].append(list(modules[parent]._modules).index(name))
    new = {
        edit.block: silenced_copy(model, edit) if isinstance(edit, InsertBlock) else identity_layer(model, edit)
        for edit in plan.insertions
    }
    for key, positions in entries.items():
        repeat_entries(model, key, positions)
    put_behind(model, new)


def silenced_copy(model: nn.Module, edit: InsertBlock) -> nn.Module:
    """A copy of the block that returns its input. Configuration objects and the like stay shared with the rest.

    Raises:
        PlanError: it has no such parameter or number.
    """
    block = model.get_submodule(edit.block)
    inside = {id(module) for module in block.modules()}
    elsewhere = {id(v): v for m in model.modules() if id(m) not in inside for v in m.__dict__.values()}
    memo: dict[int, Any] = {}
    for module in block.modules():
        for value in module.__dict__.values():
            if id(value) in elsewhere and not isinstance(value, (torch.Tensor, dict, list, set)):
                memo[id(value)] = value
    for slot in tensor_slots(block):
        if not slot.tensor.is_leaf:  # computed by a hook of weight_norm: deepcopy refuses it
            memo[id(slot.tensor)] = slot.tensor.detach().clone()
    twin = copied(block, memo)
    found = {slot.name: slot.tensor for slot in tensor_slots(twin)}
    missing = [name for name in edit.zeros if name not in found]
    if missing:
        raise PlanError(f"{edit.block!r} has no parameter {missing[0]!r}")
    with torch.no_grad():
        for name in edit.zeros:
            found[name].zero_()
    for key, value in edit.numbers:
        path, _, name = key.partition(":")
        try:
            own = twin.get_submodule(path).__dict__
        except AttributeError:
            own = {}
        if type(own.get(name)) is not int:
            raise PlanError(f"{edit.block!r} has no whole number {key!r}")
        own[name] = value
    return twin
