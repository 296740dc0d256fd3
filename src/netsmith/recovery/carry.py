"""Takes an optimizer along when a model grows, so that training goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from ..errors import InputError
from ..plans import InsertIdentity, Plan
from ..plans.deepening import place_behind
from ..plans.values import resized_values
from ..surgery import check_fits

Change = Callable[[torch.Tensor, int], torch.Tensor]  # (moment, 1 or 2: of the gradient or of its square) -> moment

_SQUARES = frozenset(("exp_avg_sq", "max_exp_avg_sq", "square_avg", "sum", "acc_delta"))


def carry_optimizer(
    optimizer: torch.optim.Optimizer, model: nn.Module, grown: nn.Module, plan: Plan
) -> torch.optim.Optimizer:
    """An optimizer of the same kind for the grown model, with the state that belongs to its parameters.

    A moment of the gradient is what the gradient would be: a copied unit gets its share of the unit's gradient, and
    what was divided among copies gets the whole, so the shares go the other way than for weights; moments of squares
    get them squared. Without a normalization over a widened axis this is exactly the gradient of the grown model; over
    one it is what each copy gets on average. Parameters of inserted blocks start without state, in the group of the
    block that they were copied from, or of the layer before. Step counts go along.

    Args:
        optimizer: of ``model``'s parameters; torch.optim's SGD, Adam, AdamW, RMSprop and others whose state has the
            parameters' shapes. Not changed.
        model: before the plan.
        grown: what ``apply(model, plan)`` made.
        plan: that grew it.

    Returns:
        A new optimizer with the same groups and options.

    Raises:
        InputError: another kind of object, a parameter that is not the model's, or state of another shape than the
            parameter's (Adafactor, LBFGS).
        PlanError: the plan was not made for ``model``, or does more than grow.

    Source: the chain rule on the maps of Chen et al., ICLR 2016, arXiv:1511.05641 (Net2Net), which starts anew.
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise InputError(f"optimizer is a {type(optimizer).__name__}; give a torch.optim.Optimizer")
    check_fits(model, plan)
    if any(step.edits and not step.grows for step in plan.steps):
        raise InputError("the plan does more than grow; make a new optimizer for what it leaves")
    before = dict(model.named_parameters(remove_duplicate=False))
    names = {id(parameter): name for name, parameter in before.items()}
    unknown = [p for group in optimizer.param_groups for p in group["params"] if id(p) not in names]
    if unknown:
        raise InputError(f"the optimizer has a parameter {tuple(unknown[0].shape)} that is not one of the model's")
    changes = _changes(before, plan)
    after: dict[str, nn.Parameter] = {}  # in the model's order, tied parameters once
    for name, parameter in grown.named_parameters():
        if name not in changes:
            raise InputError(f"the grown model has a parameter {name!r} that the plan did not make")
        after[name] = parameter
    groups = []
    states: list[tuple[nn.Parameter, Mapping[str, Any], Change]] = []
    for group in optimizer.param_groups:
        own = {id(p) for p in group["params"]}
        chosen = [(name, p) for name, p in after.items() if id(before[changes[name][0]]) in own]
        groups.append({**group, "params": [p for _, p in chosen]})
        for name, p in chosen:
            source, change = changes[name]
            if change is not None:
                states.append((p, optimizer.state.get(before[source], {}), change))
    carried = type(optimizer)(groups, **{k: v for k, v in optimizer.defaults.items() if k in ("lr",)})
    for parameter, state, change in states:
        if state:
            carried.state[parameter] = {key: _carried(key, value, parameter, change) for key, value in state.items()}
    return carried


def _carried(key: str, value: Any, parameter: nn.Parameter, change: Change) -> Any:
    if not isinstance(value, torch.Tensor) or value.dim() == 0:
        return value.clone() if isinstance(value, torch.Tensor) else value
    try:
        made = change(value.detach(), 2 if key in _SQUARES else 1)
    except (IndexError, RuntimeError):
        made = value
    if made.shape != parameter.shape:
        raise InputError(f"the optimizer's {key!r} of a parameter has another shape than it; start it anew")
    return made.clone()


def _changes(before: Mapping[str, nn.Parameter], plan: Plan) -> dict[str, tuple[str, Change | None]]:
    """Name after the plan -> (name before it, how its moments change; None where it starts without)."""
    found: dict[str, tuple[str, Change | None]] = {name: (name, _same) for name in before}
    for step in plan.steps:
        next_found: dict[str, tuple[str, Change | None]] = {}
        for name, (source, change) in found.items():
            if name in step.layouts and change is not None:
                change = partial(_wider, change, step, name)
            next_found[step.renamed(name) or name] = (source, change)
            for edit in step.insertions:
                if isinstance(edit, InsertIdentity):
                    new = edit.parameters if name == edit.like else ()
                    next_found |= {f"{place_behind(step, edit.block)}.{own}": (source, None) for own in new}
                elif name.startswith(f"{edit.block}."):
                    copy = place_behind(step, edit.block) + name.removeprefix(edit.block)
                    next_found[copy] = (source, None)
        found = next_found
    return found


def _same(moment: torch.Tensor, power: int) -> torch.Tensor:
    return moment


def _wider(earlier: Change, step: Plan, name: str, moment: torch.Tensor, power: int) -> torch.Tensor:
    shares = {dim: [s**power for s in own] for dim, own in step.shares(name, divided=False).items()}
    return resized_values(earlier(moment, power), step.taken(name), shares)
