"""Checks the promise of every edit, numerically."""

from __future__ import annotations

import contextlib
import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from ..errors import InputError, ModelError
from ..plans import MergeBlocks, Plan, ReplaceBlock
from ..surgery import apply, check_fits
from ..wiring import call_model, tensor_slots
from ..wiring.inputs import map_tensors
from ..wiring.recorder import tensors_in
from ..wiring.slots import int_values
from .bypassed import with_blocks_bypassed
from .held import holding_zeros
from .verdict import Check, Verdict
from .widthless import widthless

# of the largest output. Models run in float64 where they can; some round to float32 inside, whence 1e-5.
_TOLERANCE = {torch.float64: 1e-5, torch.float32: 2e-3}


def verify(original: nn.Module, edited: nn.Module, plan: Plan, example_inputs: Any) -> Verdict:
    """Check that an edited model is what its plan promises.

    * structure: every tensor has the promised shape, tied tensors are still tied;
    * attributes: every integer that forward reads has the promised value;
    * weights: every tensor that the plan does not list as refitted is bit by bit the promised part of the original's;
    * outputs: with plain (not refitted) weights, the edited model's outputs equal those of the original with all
      removed units' weights set to zero; in float64 where the model runs in it. Where a statistic counts the units,
      they are compared with the statistic made blind to zeros and, if need be, the removed units held at zero. Where
      blocks were edited, those of the original with these blocks returning their first input, or the map that replaces
      them; blocks into which others were merged have the combined weights. Where layers were merged exactly, those
      of the original as it is. Plans that are chained are checked one after the other;
    * runs: the edited model as it is gives outputs of the original's shapes, all finite.

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
    for step in plan.before:  # a chain keeps its promise if each step does
        changed = apply(start, step)
        earlier.append(_promise(start, changed, step, example_inputs))
        start = changed
    last = plan.steps[-1]
    plain = apply(start, last)
    computed = {slot.name for slot in tensor_slots(edited) if slot.tensor is not before.get(slot.name)}
    checks = [_structure(plain, edited), _attributes(plain, edited, plan), _weights(plain, edited, plan, computed)]
    if checks[0].status != "failed":
        earlier.append(_promise(start, edited, last, example_inputs))
        checks.append(_weakest(earlier))
    return Verdict((*checks, runs))


def _promise(original: nn.Module, edited: nn.Module, plan: Plan, example_inputs: Any) -> Check:
    if plan.fusions:
        return _fused_outputs(original, edited, plan, example_inputs)
    if plan.block_edits:
        return _blocks_outputs(original, edited, plan, example_inputs)
    return _outputs(original, edited, plan, example_inputs)


def _weakest(checks: list[Check]) -> Check:
    """Of the checks of a chain's outputs the one that says least."""
    order = ("failed", "exact up to statistics", "exact")
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
    found: dict[str, float] = dict(int_values(edited))
    for key, (_, after) in plan.attributes.items():
        if isinstance(after, float):
            path, _, name = key.partition(":")
            promised[key] = after
            found[key] = edited.get_submodule(path).__dict__.get(name, float("nan"))
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
        if other.dtype == slot.tensor.dtype and _bit_equal(slot.tensor.detach(), other.detach()):
            same += 1
        else:
            faults.append(f"{slot.name} is not the promised part of the original's")
    if faults:
        faults.append("if you trained or repaired the model, pass plan.with_refitted(names)")
    refitted = f", {len(plan.refitted)} were refitted" if plan.refitted else ""
    return _check("weights", "exact", faults, f"{same} tensors equal the original's kept units bit by bit{refitted}")


def _bit_equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool(torch.equal(a.cpu(), b.cpu())) or bool(
        a.is_floating_point()
        and torch.equal(a.cpu().nan_to_num(), b.cpu().nan_to_num())
        and torch.equal(a.isnan(), b.isnan())
    )


def _outputs(original: nn.Module, edited: nn.Module, plan: Plan, example_inputs: Any) -> Check:
    """Run the edited model's own structure with plain weights against the original with zeros.

    Constant tensors (fresh biases, unit scales, zero-initialized heads) are made uneven first, in both: a misaligned
    constant could not be seen.
    """
    lively = _enlivened(original)
    plain = {slot.name: slot.tensor for slot in tensor_slots(apply(lively, plan))}
    structure = copy.deepcopy(edited)
    with torch.no_grad():
        for slot in tensor_slots(structure):
            slot.tensor.copy_(plain[slot.name])
        del plain
        for slot in tensor_slots(lively):
            if slot.name in plan.layouts and isinstance(slot.tensor, nn.Parameter):
                for dim, positions in plan.kept(slot.name).items():
                    gone = torch.ones(slot.tensor.shape[dim], dtype=torch.bool)
                    gone[positions] = False
                    slot.tensor.index_fill_(dim, gone.nonzero().flatten().to(slot.tensor.device), 0)
    try:
        error, dtype = _compare(lively, structure, example_inputs)
    except _Unrunnable as unrunnable:
        return Check("outputs", "failed", str(unrunnable))
    tolerance = _TOLERANCE[dtype]
    if error <= tolerance:
        precision = str(dtype).removeprefix("torch.")
        return Check("outputs", "exact", f"largest difference {error:.1e} of the largest output, {precision}")
    try:
        held, dtype = _compare(lively, structure, example_inputs, widthless)
        zeros = holding_zeros(original, plan, example_inputs) if held > _TOLERANCE[dtype] else None
        if zeros is not None:
            held, dtype = _compare(lively, structure, example_inputs, widthless, zeros)
    except _Unrunnable:  # a call that its stand-in does not understand: nothing is proved
        held = error
    if held <= _TOLERANCE[dtype]:
        found = f"{held:.1e} with statistics and scales held fixed, {error:.1e} as they are"
        return Check("outputs", "exact up to statistics", found)
    return Check(
        "outputs",
        "failed",
        f"the outputs differ by {held:.1e} of the largest output from the original with the removed units at zero "
        f"(tolerance {tolerance:.0e}); units are misaligned, or forward depends on the width in a way not yet known",
    )


def _blocks_outputs(original: nn.Module, edited: nn.Module, plan: Plan, example_inputs: Any) -> Check:
    """Run the edited model's own structure with plain weights against the original with its blocks bypassed."""
    lively = _enlivened(original)
    plain = {slot.name: slot.tensor for slot in tensor_slots(apply(lively, plan))}
    structure = copy.deepcopy(edited)
    places = [plan.place(e.block) for e in plan.block_edits if isinstance(e, ReplaceBlock)]
    maps = {f"{place}.{name}" for place in places for name in ("weight", "bias")}
    with torch.no_grad():
        for slot in tensor_slots(structure):
            if slot.name not in maps:
                slot.tensor.copy_(plain[slot.name])
    found = {slot.name: slot for slot in tensor_slots(structure)}
    _take_over(lively, plain, plan)
    try:
        with with_blocks_bypassed(lively, plan, lambda name: found[name].holder[found[name].key]):
            error, dtype = _compare(lively, structure, example_inputs)
    except _Unrunnable as unrunnable:
        return Check("outputs", "failed", str(unrunnable))
    if error <= _TOLERANCE[dtype]:
        precision = str(dtype).removeprefix("torch.")
        return Check("outputs", "exact", f"largest difference {error:.1e} of the largest output, {precision}")
    return Check(
        "outputs",
        "failed",
        f"the outputs differ by {error:.1e} of the largest output from the original with the edited blocks bypassed "
        f"(tolerance {_TOLERANCE[dtype]:.0e}); something depends on a layer's place in a way not yet known",
    )


@torch.no_grad()
def _take_over(lively: nn.Module, plain: dict[str, torch.Tensor], plan: Plan) -> None:
    """Give the blocks of the original into which others were merged the combined weights."""
    into = {edit.into for edit in plan.block_edits if isinstance(edit, MergeBlocks)}
    for slot in tensor_slots(lively):
        if any(slot.name.startswith(f"{block}.") for block in into):
            slot.tensor.copy_(plain[plan.renamed(slot.name) or slot.name])


def _fused_outputs(original: nn.Module, edited: nn.Module, plan: Plan, example_inputs: Any) -> Check:
    """Run the edited model's own structure with plain weights against the original as it is."""
    lively = _enlivened(original)
    structure = copy.deepcopy(edited)
    try:
        for model in (lively, structure):
            _convert(model, torch.float64)
        plain = {slot.name: slot.tensor for slot in tensor_slots(apply(lively, plan))}
        with torch.no_grad():
            for slot in tensor_slots(structure):
                slot.tensor.copy_(plain[slot.name])
        error, dtype = _compare(lively, structure, example_inputs)
    except _Unrunnable as unrunnable:
        return Check("outputs", "failed", str(unrunnable))
    precision = str(dtype).removeprefix("torch.")
    if error <= _TOLERANCE[dtype]:
        return Check("outputs", "exact", f"largest difference {error:.1e} of the largest output, {precision}")
    return Check(
        "outputs",
        "failed",
        f"the outputs differ by {error:.1e} of the largest output from the original's (tolerance "
        f"{_TOLERANCE[dtype]:.0e}, {precision}); merged layers compute something else than before",
    )


def _enlivened(model: nn.Module) -> nn.Module:
    """A copy in which no floating tensor of more than one element is constant."""
    lively = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(0)
    seen: set[int] = set()
    with torch.no_grad():
        for slot in tensor_slots(lively):
            tensor = slot.tensor
            if id(tensor) in seen or not tensor.is_floating_point() or tensor.numel() < 2:
                continue
            seen.add(id(tensor))
            statistic = isinstance(tensor, nn.Parameter) or slot.name.endswith("running_mean")
            if not statistic and not bool(tensor.any()):
                continue  # a buffer of zeros stands for a bias that is not there
            if bool((tensor == tensor.flatten()[0]).all()):
                noise = torch.rand(tensor.shape, generator=generator).to(tensor) - 0.5
                tensor.copy_(tensor * (1 + noise) if float(tensor.flatten()[0]) else noise * 0.2)
    return lively


class _Unrunnable(Exception):
    """A forward raises in every precision."""


def _compare(
    reference: nn.Module,
    candidate: nn.Module,
    example_inputs: Any,
    around: Any = contextlib.nullcontext,
    around_reference: Any = None,
) -> tuple[float, torch.dtype]:
    """(largest difference relative to the largest output, dtype in which it was computed). Converts both models.

    ``around`` makes the context in which they run, ``around_reference`` another one for the reference.
    """
    last: Exception | None = None
    for dtype in (torch.float64, torch.float32):
        try:
            inputs = map_tensors(example_inputs, lambda t: t.to(dtype) if t.is_floating_point() else t)  # noqa: B023
            _convert(reference, dtype), _convert(candidate, dtype)
            with (around_reference or around)(), _quiet():
                left = call_model(reference, inputs)
            with around(), _quiet():
                right = call_model(candidate, inputs)
        except Exception as error:
            last = error  # something in this forward may insist on its own precision
            continue
        return _difference(_floats(left), _floats(right)), dtype
    raise _Unrunnable(f"forward raises {type(last).__name__}: {str(last)[:300]}") from last


def _convert(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Bring a model of our own to another precision, in place, tensor by tensor; plain tensor attributes included."""
    shared: dict[int, Any] = {}
    counts = Counter(id(slot.tensor) for slot in tensor_slots(model))
    for slot in tensor_slots(model):
        tensor = slot.tensor
        if not tensor.is_floating_point() or tensor.dtype == dtype:
            continue
        cast: Any = shared.get(id(tensor))
        if cast is None:
            cast = tensor.detach().to(dtype)
            cast = nn.Parameter(cast, False) if isinstance(tensor, nn.Parameter) else cast
            if counts[id(tensor)] > 1:
                shared[id(tensor)] = cast
        slot.holder[slot.key] = cast
    for module in model.modules():
        if "_flat_weights_names" in module.__dict__:
            module.__dict__["_flat_weights"] = [getattr(module, n) for n in module.__dict__["_flat_weights_names"]]
    return model.eval()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No gradients, the slow path of attention (the fast one hides its scale), random numbers as they were."""
    fast = torch.backends.mha.get_fastpath_enabled()
    state = torch.random.get_rng_state()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        torch.random.set_rng_state(state)


def _floats(out: Any) -> list[torch.Tensor]:
    return [t.detach().double() for t in tensors_in(out) if t.is_floating_point()]


def _difference(left: list[torch.Tensor], right: list[torch.Tensor]) -> float:
    worst = 0.0 if len(left) == len(right) else float("inf")
    for a, b in zip(left, right, strict=False):
        if a.shape != b.shape:
            continue  # hidden states that the model also returns have the new width
        if a.numel():
            scale = max(float(a.abs().max()), 1e-12)
            gap = float((a - b).abs().max())
            worst = max(worst, gap / scale if gap == gap else float("inf"))
    return worst


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
    return _check("runs", "ok", faults, f"{len(after)} outputs, shapes as before, finite")


def _check(name: str, status: Any, faults: list[str], detail: str) -> Check:
    if not faults:
        return Check(name, status, detail)
    more = f"; and {len(faults) - 4} more" if len(faults) > 4 else ""
    return Check(name, "failed", "; ".join(faults[:4]) + more)
