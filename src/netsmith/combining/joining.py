"""Several trained models of one architecture in one wider network that computes all of them at once.

The first member's structure is widened K times; the k-th copy of every unit then gets the weights of member k. Matrices
between widened axes become block-diagonal, those that read the input are stacked, those that make the outputs lie side
by side, each with its member's share. No member hears of the others, so the outputs are the mean of theirs; that is
tried before the network is given back.

What it is for: one network that can be pruned, zipped (``combining.zip_models``) or distilled down like any other, and
that keeps what every member knows until then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ..errors import InputError, ModelError
from ..plans import Plan, WidenAxis
from ..plans.widening import plan_widening
from ..surgery import apply
from ..wiring import Wiring, tensor_slots, trace
from .joined_proof import check_mean, differences
from .joined_values import Roles, joined_tensor
from .merging_modules import check_alike

MOST_MEMBERS = 64


@dataclass(frozen=True)
class Joined:
    """Several models in one.

    Attributes:
        model: gives the weighted mean of the members' outputs.
        plan: makes its structure from the first member's; all values that are not the first member's count as refitted.
        weights: share of each member in the mean, positive, with sum 1.
        error: largest difference from that mean on the example inputs and on random ones, relative to the largest
            output. What there is comes from rounding shares of weights and means of biases to their dtype.
    """

    model: nn.Module
    plan: Plan
    weights: tuple[float, ...]
    error: float


def join(models: Sequence[nn.Module], example_inputs: Any, *, weights: Sequence[float] | None = None) -> Joined:
    """One network whose outputs are the mean of the outputs of several: K times as wide, exact.

    Args:
        models: two or more of one structure, trained in any way; not changed.
        example_inputs: one call's inputs.
        weights: of the models in the mean, positive; divided by their sum. None: all the same.

    Returns:
        A model of the first one's class, mode, dtypes and devices. ``save``, ``load`` and ``verify`` take its plan.

    Raises:
        InputError: fewer than two models, or more than 64; weights that do not fit or are not positive; outputs that
            are no floating-point numbers.
        ModelError: models of different structure; a normalization or mean over units that would mix the members
            (layer normalization over a stream): the message names the layers; or a network that does not give the mean
            afterwards: the message says what stands in the way.

    Example:
        >>> both = netsmith.combining.join([a, b], x)  # doctest: +SKIP
        >>> netsmith.save(both.model, "out/both", plan=both.plan)  # doctest: +SKIP
    """
    shares = _shares(models, weights)
    check_alike([{slot.name: slot for slot in tensor_slots(model)} for model in models])
    wiring = trace(models[0], example_inputs)
    plan = _plan(wiring, shares)
    roles = {(m.tensor, m.dim): m.role for axis in wiring.axes for m in axis.members}
    roles |= {
        (alias, d): role for alias, first in wiring.aliases.items() for (t, d), role in roles.items() if t == first
    }
    model = apply(models[0], plan)

    def fill(wide: nn.Module, members: Sequence[nn.Module]) -> set[str]:
        return _fill(wide, members, shares, plan, roles)

    refitted = fill(model, models)
    error = check_mean(model, models, shares, example_inputs, fill, hint=lambda: _obstacles(models, plan, wiring))
    return Joined(model, plan.with_refitted(refitted), shares, error)


def _shares(models: Sequence[nn.Module], weights: Sequence[float] | None) -> tuple[float, ...]:
    if not isinstance(models, Sequence) or not all(isinstance(model, nn.Module) for model in models):
        raise InputError("join: models is a list of torch.nn.Module")
    if not 2 <= len(models) <= MOST_MEMBERS:
        raise InputError(f"join: {len(models)} models; give 2 to {MOST_MEMBERS}")
    raw = [1.0] * len(models) if weights is None else [float(w) for w in weights]
    if len(raw) != len(models) or not all(0 < w < float("inf") for w in raw):
        raise InputError(
            f"join: weights {raw} for {len(models)} models; give one positive number each, and leave out a model that "
            "should not count"
        )
    return tuple(w / sum(raw) for w in raw)


def _plan(wiring: Wiring, shares: Sequence[float]) -> Plan:
    """Every free axis K times, copy behind copy."""
    found = plan_widening(wiring, {"*": float(len(shares))})
    mixing = [f"{wiring.axis[e.axis].statistics[0]} (units {e.axis})" for e in found.widenings if _mixes(wiring, e)]
    if mixing:
        more = f"\n  and {len(mixing) - 6} more" if len(mixing) > 6 else ""
        raise ModelError(
            "join: something is normalized or averaged over units of all members at once, so none would give its own "
            "outputs:\n  " + "\n  ".join(mixing[:6]) + f"{more}\n"
            "Batch normalization, and group normalization of more than one group, can be joined. Use an ensemble of "
            "these models (netsmith ensemble, netsmith.combining.parallel) instead."
        )
    if not found.widenings:
        why = "; ".join(f"{name}: {reason}" for name, reason in list(found.left.items())[:4]) or "it has no free axis"
        raise ModelError(f"join: this {type(wiring.model).__name__} cannot be widened: {why}")
    return replace(found, edits=tuple(replace(e, share=_even(e, shares)) for e in found.widenings))


def _mixes(wiring: Wiring, edit: WidenAxis) -> bool:
    return bool(wiring.axis[edit.axis].statistics)


def _even(edit: WidenAxis, shares: Sequence[float]) -> tuple[float, ...]:
    if edit.source != tuple(range(edit.size)) * len(shares):
        raise ModelError(
            f"join: {edit.axis} has {edit.size} units and can only become {len(edit.source)} wide, not {len(shares)} "
            "times as wide; forward demands another width"
        )
    return tuple(share for share in shares for _ in range(edit.size))


@torch.no_grad()
def _fill(model: nn.Module, models: Sequence[nn.Module], shares: Sequence[float], plan: Plan, roles: Roles) -> set[str]:
    """Write the members' values into the wide model; the names of the tensors that are not the plan's own copies."""
    tensors = [{slot.name: slot.tensor for slot in tensor_slots(each)} for each in models]
    changed: set[str] = set()
    new: dict[int, torch.Tensor] = {}
    for slot in tensor_slots(model):
        own = [each[slot.name].to(slot.tensor.device) for each in tensors]
        if id(slot.tensor) not in new:
            if not slot.tensor.is_floating_point():
                value = slot.tensor.clone()  # counters, and index tables, which differences() compares
            elif slot.name in plan.layouts:
                value = joined_tensor(slot.name, own, shares, plan, roles)
            elif all(torch.equal(each, own[0]) for each in own[1:]):
                value = slot.tensor.clone()
            else:
                value = sum(s * each.double() for s, each in zip(shares, own, strict=True)).to(slot.tensor)  # type: ignore[union-attr]
            new[id(slot.tensor)] = value
        if not torch.equal(slot.tensor, new[id(slot.tensor)]):
            changed.add(slot.name)
    for slot in tensor_slots(model):
        slot.tensor.copy_(new[id(slot.tensor)])
    return changed


def _obstacles(models: Sequence[nn.Module], plan: Plan, wiring: Wiring) -> list[str]:
    """What may be why the joined network does not give the mean."""
    found = differences(models)
    found += [f"{name} keeps its width: {why}" for name, why in plan.left.items()]
    return found + [f"no rule says what {u.function} in {u.first} does to widths" for u in wiring.unsupported]
