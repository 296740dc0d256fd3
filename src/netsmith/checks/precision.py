"""The promise of weights that became integers: they compute what they stand for, and the error is stated."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..costs.engines import largest_difference
from ..costs.free_batch import with_floats
from ..data.running import eval_mode
from ..plans import Plan
from ..wiring import call_model
from ..wiring.recorder import tensors_in
from ..wiring.slots import tensor_slots
from ..wiring.wrapped import is_wrapped
from .verdict import Check

_SAME = 2e-3  # of the largest output, in float32: engines multiply integers and scales in another order
_DYNAMIC = 0.25  # with inputs rounded to 8 bits as well


def precision_outputs(
    original: nn.Module, edited: nn.Module, plain: nn.Module, plan: Plan, example_inputs: Any
) -> Check:
    """Compare the edited model with floats in place of its integers, and state how far it is from the original.

    Args:
        original: before all plans.
        edited: with integers.
        plain: the model that the plan makes, of the same tensors; one's own: it is given the edited model's values.
        plan: the step that made them.
        example_inputs: one call's inputs.
    """
    integers = {slot.name for slot in tensor_slots(edited) if is_wrapped(slot.tensor)}
    missing = sorted({edit.tensor for edit in plan.precisions} - integers)
    if missing:
        return Check("outputs", "failed", f"{', '.join(missing[:4])} should be stored as integers and are not")
    values = {slot.name: slot.tensor for slot in tensor_slots(edited)}
    for slot in tensor_slots(plain):
        slot.holder[slot.key] = values.get(slot.name, slot.tensor)
    for module in plain.modules():
        if "_flat_weights_names" in module.__dict__:  # recurrent layers list their own parameters a second time
            module.__dict__["_flat_weights"] = [getattr(module, n) for n in module.__dict__["_flat_weights_names"]]
    try:
        found = _outputs(edited, example_inputs)
        floats = _outputs(with_floats(plain), example_inputs)
        before = _outputs(original, example_inputs)
    except Exception as error:
        return Check("outputs", "failed", f"forward raises {type(error).__name__}: {str(error)[:300]}")
    limit = _DYNAMIC if any(edit.dynamic for edit in plan.precisions) else _SAME
    own, whole = largest_difference(floats, found), largest_difference(before, found)
    if own > limit:
        return Check(
            "outputs",
            "failed",
            f"the outputs differ by {own:.1e} of the largest from those with the floats that the integers stand for "
            f"(tolerance {limit:.0e})",
        )
    return Check(
        "outputs",
        "stated error",
        f"{whole:.1e} of the largest output from the original's, {own:.1e} from those of the stored values as floats",
    )


def _outputs(model: nn.Module, example_inputs: Any) -> list[torch.Tensor]:
    with torch.random.fork_rng(devices=[]), eval_mode(model), torch.no_grad():
        return [t for t in tensors_in(call_model(model, example_inputs)) if t.is_floating_point()]
