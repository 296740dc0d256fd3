"""Checks the promise of every edit, numerically."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..errors import InputError, ModelError
from ..plans import InsertBlock, Plan
from ..surgery import apply, check_fits
from ..wiring import call_model, tensor_slots
from ..wiring.depth import number_at
from ..wiring.recorder import tensors_in
from ..wiring.slots import int_values, modules_of
from ..wiring.wrapped import inner_tensors
from .precision import precision_outputs
from .promises import promised_outputs
from .verdict import Check, Verdict


def verify(original: nn.Module, edited: nn.Module, plan: Plan, example_inputs: Any) -> Verdict:
    """Check that an edited model is what its plan promises.

    * structure: every tensor has the promised shape, tied tensors are still tied;
    * attributes: every integer that forward reads has the promised value;
    * weights: every tensor that the plan does not list as refitted is bit by bit the promised part of the original's;
    * outputs: with plain (not refitted) weights, the edited model's outputs equal those of the original with all
      removed units' weights set to zero; in float64 where the model runs in it. Where a statistic counts the units,
      they are compared with the statistic made blind to zeros and, if need be, the removed units held at zero. Where
      blocks were edited, those of the original with these blocks returning their first input, or the map that replaces
      them, and with removed branches at zero; a block into which others were merged has the combined weights. Where
      layers were merged exactly, those of the original as it is. A plan that grows leaves the outputs as they were, to
      1e-9 in float64 or 1e-4 in float32. Where single weights became zero, those are zero in the original. Where
      weights became integers, the outputs are compared with those of the floats that the integers stand for, and how
      far they are from the original's is stated. Plans that are chained are checked one after the other;
    * runs: the edited model as it is gives outputs of the original's shapes, finite where the original's are.

    Args:
        original: the model before the plan.
        edited: the model to check.
        plan: what was done to it. If you repaired or trained it since, pass ``plan.with_refitted(names)``.
        example_inputs: one call's inputs.

    Returns:
        A verdict; neither model is changed.

    Raises:
        PlanError: the plan was not made for ``original``.
        InputError: an argument of the wrong kind, or the original does not run with the example inputs.
        ModelError: weights on ``meta``.

    Example:
        >>> print(netsmith.verify(model, small, plan, x))  # doctest: +SKIP
    """
    check_fits(original, plan)
    if not isinstance(edited, nn.Module):
        raise InputError(f"edited is a {type(edited).__name__}; give the torch.nn.Module to check")
    if any(slot.tensor.is_meta for model in (original, edited) for slot in tensor_slots(model)):
        raise ModelError("verify compares values, and there are weights on 'meta'; load both models first")
    before = {slot.name: slot.tensor for slot in tensor_slots(edited)}
    runs = _runs(original, edited, example_inputs)  # first: it says when the original itself does not run
    earlier: list[Check] = []
    start = original
    # a chain keeps its promise if each step does; one that only grows has a single promise
    *firsts, last = [plan] if all(step.grows for step in plan.steps) else plan.steps
    for step in firsts:
        changed = apply(start, step)
        earlier.append(promised_outputs(start, changed, step, example_inputs))
        start = changed
    plain = apply(start, last)
    computed = {slot.name for slot in tensor_slots(edited) if slot.tensor is not before.get(slot.name)}
    checks = [_structure(plain, edited), _attributes(plain, edited, plan), _weights(plain, edited, plan, computed)]
    if checks[0].status != "failed":
        if last.precisions:
            earlier.append(precision_outputs(original, edited, plain, last, example_inputs))
        else:
            earlier.append(promised_outputs(start, edited, last, example_inputs))
        checks.append(_weakest(earlier))
    return Verdict((*checks, runs))


def _weakest(checks: list[Check]) -> Check:
    """Of the checks of a chain's outputs the one that says least."""
    order = ("failed", "stated error", "exact up to statistics", "exact")
    return min(checks, key=lambda check: order.index(check.status))


def _structure(plain: nn.Module, edited: nn.Module) -> Check:
    promised = {slot.name: slot.tensor for slot in tensor_slots(plain)}
    found = {slot.name: slot.tensor for slot in tensor_slots(edited)}
    faults = [f"{name} is missing" for name in promised if name not in found]
    faults += [f"{name} is not in the plan" for name in found if name not in promised]
    common = [name for name in promised if name in found]
    faults += [
        f"{name} has shape {tuple(found[name].shape)}, promised {tuple(promised[name].shape)}"
        for name in common
        if found[name].shape != promised[name].shape
    ]
    first: dict[int, str] = {}
    for name in common:
        other = first.setdefault(id(promised[name]), name)
        if found[other] is not found[name]:
            faults.append(f"{name} is no longer tied to {other}")
    return _check("structure", "exact", faults, f"{len(common)} tensors have the promised shapes")


def _attributes(plain: nn.Module, edited: nn.Module, plan: Plan) -> Check:
    promised: dict[str, float] = dict(int_values(plain))
    found: dict[str, float | None] = dict(int_values(edited))
    for key, (_, after) in plan.attributes.items():
        if isinstance(after, float):
            path, _, name = key.partition(":")
            promised[key] = after
            found[key] = edited.get_submodule(path).__dict__.get(name, float("nan"))
    # numbers below 2 are mostly settings; an index or a count that the plan moves may be one as well
    held = [key for step in plan.steps for key in step.attributes]
    held += [k for step in plan.steps for e in step.insertions if isinstance(e, InsertBlock) for k, _ in e.numbers]
    for name in {key.rpartition(":")[2] for key in held}:
        for path, _ in modules_of(plain):
            number = number_at(plain, f"{path}:{name}")
            if number is not None:
                promised[f"{path}:{name}"], found[f"{path}:{name}"] = number, number_at(edited, f"{path}:{name}")
    faults = [
        f"{key} is {found.get(key, 'missing')}, promised {value}"
        for key, value in promised.items()
        if found.get(key) != value
    ]
    return _check("attributes", "exact", faults, f"{len(promised)} numbers agree")


def _weights(plain: nn.Module, edited: nn.Module, plan: Plan, computed: set[str]) -> Check:
    """``computed``: tensors that each forward puts there anew (``weight_norm`` as a hook); they are not weights."""
    found = {slot.name: slot.tensor for slot in tensor_slots(edited)}
    faults, same = [], 0
    for slot in tensor_slots(plain):
        other = found.get(slot.name)
        if slot.name in plan.refitted or slot.name in computed or other is None or other.shape != slot.tensor.shape:
            continue
        if other.dtype == slot.tensor.dtype and _same_values(slot.tensor, other):
            same += 1
        else:
            faults.append(f"{slot.name} is not the promised part of the original's")
    if faults:
        faults.append("if the model was trained or repaired since, its plan has to say so: plan.with_refitted(names)")
    refitted = f", {len(plan.refitted)} were refitted" if plan.refitted else ""
    return _check("weights", "exact", faults, f"{same} tensors equal the original's kept units bit by bit{refitted}")


def _same_values(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Bit by bit; of tensors that store integers, the integers and the scales."""
    left, right = inner_tensors(a), inner_tensors(b)
    return len(left) == len(right) and all(
        x.dtype == y.dtype and x.shape == y.shape and _bit_equal(x.detach(), y.detach())
        for x, y in zip(left, right, strict=True)
    )


def _bit_equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool(torch.equal(a.cpu(), b.cpu())) or bool(
        a.is_floating_point()
        and torch.equal(a.cpu().nan_to_num(), b.cpu().nan_to_num())
        and torch.equal(a.isnan(), b.isnan())
    )


def _runs(original: nn.Module, edited: nn.Module, example_inputs: Any) -> Check:
    modes = [(m, m.training) for model in (original, edited) for m in model.modules()]
    state = torch.random.get_rng_state()
    try:
        original.eval(), edited.eval()
        with torch.no_grad():
            try:
                before = tensors_in(call_model(original, example_inputs))
            except Exception as error:
                raise InputError(
                    f"the original raises with the example inputs: {type(error).__name__}: {error}"
                ) from error
            try:
                after = tensors_in(call_model(edited, example_inputs))
            except Exception as error:
                return Check("runs", "failed", f"forward raises {type(error).__name__}: {str(error)[:300]}")
    finally:
        torch.random.set_rng_state(state)
        for module, training in modes:
            module.training = training
    faults = [
        f"output {i} has shape {tuple(b.shape)}, not {tuple(a.shape)}"
        for i, (a, b) in enumerate(zip(before, after, strict=False))
        if a.shape != b.shape
    ][:1]
    if len(before) != len(after):
        faults.append(f"{len(after)} outputs instead of {len(before)}")
    faults += [
        f"output {i} is not finite"
        for i, (a, b) in enumerate(zip(before, after, strict=False))
        if a.is_floating_point() and a.isfinite().all() and not b.isfinite().all()
    ]
    sound = all(b.isfinite().all() for b in after if b.is_floating_point())
    how = "finite" if sound else "not finite, as the original's"
    return _check("runs", "ok", faults, f"{len(after)} outputs, shapes as before, {how}")


def _check(name: str, status: Any, faults: list[str], detail: str) -> Check:
    if not faults:
        return Check(name, status, detail)
    more = f"; and {len(faults) - 4} more" if len(faults) > 4 else ""
    return Check(name, "failed", "; ".join(faults[:4]) + more)
