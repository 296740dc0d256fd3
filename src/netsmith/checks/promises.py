"""What each kind of edit promises of the outputs, tried on the edited model's own structure with plain weights."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any

import torch
from torch import nn

from ..plans import MergeBlocks, Plan, ReplaceBlock
from ..plans.sparsity import zeros_of
from ..surgery import apply
from ..wiring import tensor_slots
from .bypassed import with_blocks_bypassed
from .comparing import TOLERANCE, Unrunnable, compare, convert, enlivened
from .held import holding_zeros
from .verdict import Check
from .widthless import widthless

_GROWTH_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}  # of the largest output


def promised_outputs(original: nn.Module, edited: nn.Module, plan: Plan, example_inputs: Any) -> Check:
    """Check of the outputs after one step of a plan, by what its edits promise."""
    for edits, outputs in (
        (plan.grows, _grown),
        (plan.fusions, _fused),
        (plan.block_edits, _without_blocks),
        (plan.sparsities, _with_zeros),
    ):
        if edits:
            return outputs(original, edited, plan, example_inputs)
    return _resized(original, edited, plan, example_inputs)


def _resized(original: nn.Module, edited: nn.Module, plan: Plan, example_inputs: Any) -> Check:
    """Against the original with zeros for the removed units."""
    lively = enlivened(original)
    structure = _with_plain_weights(edited, lively, plan)
    with torch.no_grad():
        for slot in tensor_slots(lively):
            if slot.name in plan.layouts and isinstance(slot.tensor, nn.Parameter):
                for dim, positions in plan.kept(slot.name).items():
                    gone = torch.ones(slot.tensor.shape[dim], dtype=torch.bool)
                    gone[positions] = False
                    slot.tensor.index_fill_(dim, gone.nonzero().flatten().to(slot.tensor.device), 0)
    try:
        error, dtype = compare(lively, structure, example_inputs)
    except Unrunnable as unrunnable:
        return Check("outputs", "failed", str(unrunnable))
    if error <= TOLERANCE[dtype]:
        return _exact(error, dtype)
    try:
        held, dtype = compare(lively, structure, example_inputs, widthless)
        zeros = holding_zeros(original, plan, example_inputs) if held > TOLERANCE[dtype] else None
        if zeros is not None:
            held, dtype = compare(lively, structure, example_inputs, widthless, zeros)
    except Unrunnable:  # a call that its stand-in does not understand: nothing is proved
        held = error
    if held <= TOLERANCE[dtype]:
        found = f"{held:.1e} with statistics and scales held fixed, {error:.1e} as they are"
        return Check("outputs", "exact up to statistics", found)
    return _failed(
        held,
        dtype,
        "the original with the removed units at zero",
        "units are misaligned, or forward depends on the width in a way not yet known",
    )


def _without_blocks(original: nn.Module, edited: nn.Module, plan: Plan, example_inputs: Any) -> Check:
    """Against the original with its blocks bypassed."""
    lively = enlivened(original)
    places = [plan.place(e.block) for e in plan.block_edits if isinstance(e, ReplaceBlock)]
    maps = {f"{place}.{name}" for place in places for name in ("weight", "bias")}
    structure = _with_plain_weights(edited, lively, plan, but=maps)
    _take_over(lively, structure, plan)
    found = {slot.name: slot for slot in tensor_slots(structure)}
    reference = "the original with the edited blocks bypassed"
    why = "something depends on a layer's place in a way not yet known"
    with with_blocks_bypassed(lively, plan, lambda name: found[name].holder[found[name].key]):
        return _compared(lively, structure, example_inputs, reference=reference, why=why)


@torch.no_grad()
def _take_over(lively: nn.Module, structure: nn.Module, plan: Plan) -> None:
    """Give the blocks of the original into which others were merged the combined weights."""
    combined = {slot.name: slot.tensor for slot in tensor_slots(structure)}
    into = {edit.into for edit in plan.block_edits if isinstance(edit, MergeBlocks)}
    for slot in tensor_slots(lively):
        if any(slot.name.startswith(f"{block}.") for block in into):
            slot.tensor.copy_(combined[plan.renamed(slot.name) or slot.name])


def _grown(original: nn.Module, edited: nn.Module, plan: Plan, example_inputs: Any) -> Check:
    """Against the original as it is: nothing may have changed.

    In both precisions: the shares of copies add up to one only as far as either has digits, and some models round to
    float32 inside, whatever they are given.
    """
    found: dict[torch.dtype, float] = {}
    why = ""
    for dtype in (torch.float64, torch.float32):
        lively = convert(enlivened(original), dtype)
        structure = _with_plain_weights(convert(copy.deepcopy(edited), dtype), lively, plan)
        try:
            found[dtype], _ = compare(lively, structure, example_inputs, dtypes=(dtype,))
        except Unrunnable as unrunnable:
            why = str(unrunnable)
    if not found:
        return Check("outputs", "failed", why)
    said = ", ".join(f"{error:.1e} in {str(dtype).removeprefix('torch.')}" for dtype, error in found.items())
    detail = f"largest difference from the original's outputs {said}, relative to the largest"
    ok = any(error <= _GROWTH_TOLERANCE[dtype] for dtype, error in found.items())
    return Check("outputs", "exact" if ok else "failed", detail if ok else f"{detail}; growth must not change them")


def _fused(original: nn.Module, edited: nn.Module, plan: Plan, example_inputs: Any) -> Check:
    """Against the original as it is, with layers merged in float64."""
    lively = convert(enlivened(original), torch.float64)
    structure = _with_plain_weights(convert(copy.deepcopy(edited), torch.float64), lively, plan)
    why = "merged layers compute something else than before"
    return _compared(lively, structure, example_inputs, reference="the original's", why=why)


def _with_zeros(original: nn.Module, edited: nn.Module, plan: Plan, example_inputs: Any) -> Check:
    """Against the original with zeros for single weights."""
    zeros = {edit.tensor: zeros_of(edit) for edit in plan.sparsities}
    kept = [
        slot.name
        for slot in tensor_slots(edited)
        if slot.name in zeros and bool(slot.tensor.detach()[zeros[slot.name].to(slot.tensor.device)].any())
    ]
    if kept:
        return Check("outputs", "failed", f"weights that should be zero are not, in {', '.join(kept[:4])}")
    lively = enlivened(original)
    structure = _with_plain_weights(edited, lively, plan)
    with torch.no_grad():
        for slot in tensor_slots(lively):
            if slot.name in zeros:
                slot.tensor.masked_fill_(zeros[slot.name].to(slot.tensor.device), 0)
    reference, why = "the original with these weights at zero", "other weights changed as well"
    return _compared(lively, structure, example_inputs, reference=reference, why=why)


def _with_plain_weights(
    edited: nn.Module, lively: nn.Module, plan: Plan, but: Collection[str] = frozenset()
) -> nn.Module:
    """A copy of the edited model with the values that the plan makes of another original's, ``but`` some tensors.

    The original is one without constant tensors (fresh biases, unit scales, zero-initialized heads): a misaligned
    constant could not be seen.
    """
    plain = {slot.name: slot.tensor for slot in tensor_slots(apply(lively, plan))}
    structure = copy.deepcopy(edited)
    with torch.no_grad():
        for slot in tensor_slots(structure):
            if slot.name not in but:
                slot.tensor.copy_(plain[slot.name])
    return structure


def _compared(lively: nn.Module, structure: nn.Module, example_inputs: Any, *, reference: str, why: str) -> Check:
    """The check where outputs have to be equal; ``reference`` and ``why`` say what was broken."""
    try:
        error, dtype = compare(lively, structure, example_inputs)
    except Unrunnable as unrunnable:
        return Check("outputs", "failed", str(unrunnable))
    return _exact(error, dtype) if error <= TOLERANCE[dtype] else _failed(error, dtype, reference, why)


def _exact(error: float, dtype: torch.dtype) -> Check:
    precision = str(dtype).removeprefix("torch.")
    return Check("outputs", "exact", f"largest difference {error:.1e} of the largest output, {precision}")


def _failed(error: float, dtype: torch.dtype, reference: str, why: str) -> Check:
    return Check(
        "outputs",
        "failed",
        f"the outputs differ by {error:.1e} of the largest output from {reference} (tolerance {TOLERANCE[dtype]:.0e}); "
        f"{why}",
    )
