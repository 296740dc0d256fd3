"""Carries out a plan. The only room that writes a given model's structure, and it writes a copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ..errors import InputError, PlanError
from ..plans import Plan
from ..plans.carrying import carry_out
from ..plans.fused import fuse
from ..plans.inserting import insert_blocks
from ..plans.sparsity import zeros_of
from ..plans.stored import set_precisions
from ..plans.values import resized_values
from ..wiring.collector import no_collections
from ..wiring.copying import copied
from ..wiring.slots import clear_tensor_caches, fingerprint, tensor_slots
from .attributes import describe_again, write_attributes
from .zeros import set_zeros


@no_collections()
def apply(model: nn.Module, plan: Plan) -> nn.Module:
    """A new model with the plan's structure; parameters, buffers and attributes agree.

    Args:
        model: the model that the plan was made for, or one of the same structure; may be on ``meta``. Not changed.
        plan: from a planner.

    Returns:
        A model of the same class whose ordinary forward runs, in the same train or eval mode, on the same devices.

    Raises:
        PlanError: the plan was made for another structure, or one of its steps for another than the step before makes.
        ModelError: the model cannot be copied.

    Example:
        >>> small = netsmith.apply(model, plan)  # doctest: +SKIP
    """
    check_fits(model, plan)
    for step in plan.steps:
        model = _applied(model, step)
    return model


def _applied(model: nn.Module, plan: Plan) -> nn.Module:
    """The model after one step of a plan."""
    check_fits(model, plan)
    memo: dict[int, Any] = {}
    with torch.no_grad():
        for slot in tensor_slots(model):
            if slot.name in plan.layouts and id(slot.tensor) not in memo:
                memo[id(slot.tensor)] = _resized(slot.tensor, plan, slot.name)
            elif not slot.tensor.is_leaf:  # computed by a hook of weight_norm: deepcopy refuses it
                memo[id(slot.tensor)] = slot.tensor.detach().clone()
    edited = copied(model, memo)
    if plan.insertions:
        insert_blocks(edited, plan)
    elif plan.block_edits:
        carry_out(edited, plan)
    elif plan.fusions:
        fuse(edited, plan)
    elif plan.precisions:
        set_precisions(edited, plan.precisions)
    elif plan.sparsities:
        set_zeros(edited, {edit.tensor: zeros_of(edit) for edit in plan.sparsities})
    else:
        write_attributes(edited, plan)
        describe_again(model, edited)
    clear_tensor_caches(edited)
    return edited


def check_fits(model: nn.Module, plan: Plan) -> None:
    """Raise PlanError unless the plan was made for a model of this structure."""
    if not isinstance(model, nn.Module):
        raise InputError(f"model is a {type(model).__name__}; give a torch.nn.Module")
    if not isinstance(plan, Plan):
        raise InputError(f"plan is a {type(plan).__name__}; give what a planner such as plan_removal returns")
    plan = plan.steps[0]
    slots = {slot.name: tuple(slot.tensor.shape) for slot in tensor_slots(model)}
    unfit = _unfit_tensors(slots, plan)
    if not unfit and fingerprint(model) == plan.fingerprint:
        return
    faults = [f"{name} is missing" for name in plan.layouts if name not in slots]
    faults += [
        f"{name} is {slots[name]}, the plan expects {plan.shape_before(name)}"
        for name in plan.layouts
        if name in slots and slots[name] != plan.shape_before(name)
    ]
    modules = {path for path, _ in model.named_modules()}
    faults += unfit
    faults += [f"there is no module {path}" for path in plan.modules if path not in modules]
    if not faults:
        faults = ["tensors that the plan does not change differ in name or shape"]
    raise PlanError(
        f"this plan was made for another model than this {type(model).__name__}: {'; '.join(faults[:4])}"
        f"{f' and {len(faults) - 4} more' if len(faults) > 4 else ''}.\n"
        "Give the original model (before any change), or make a new plan for this one."
    )


def _unfit_tensors(slots: Mapping[str, tuple[int, ...]], plan: Plan) -> list[str]:
    """What single tensors lack for their edits. No fingerprint says it: a plan may come from anywhere."""
    faults = [
        f"{edit.tensor} is {slots.get(edit.tensor, 'missing')}, the plan expects {edit.shape}"
        for edit in plan.sparsities
        if slots.get(edit.tensor) != edit.shape
    ]
    for each in plan.precisions:
        shape = slots.get(each.tensor)
        if shape is None:
            faults.append(f"there is no tensor {each.tensor}")
        elif len(shape) != (4 if each.use == "conv2d" else 2) or (each.group and shape[1] % each.group):
            group = f" in groups of {each.group}" if each.group else ""
            faults.append(f"{each.tensor} is {shape}, which a {each.use} cannot store{group}")
    return faults


def _resized(tensor: torch.Tensor, plan: Plan, name: str) -> torch.Tensor:
    resized = resized_values(tensor.detach(), plan.taken(name), plan.shares(name))
    resized = resized.clone(memory_format=torch.contiguous_format)
    return nn.Parameter(resized, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else resized
