"""``round_weights``: better integers than the nearest ones, from what each layer's inputs look like (GPTQ)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from ..errors import InputError, PlanError
from ..evidence import Activations, activations
from ..evidence.activations import identity
from ..evidence.masks import Mask
from ..plans import Plan, SetPrecision
from ..plans.integers import Integers, block_of, rounded_to, scales_of, spread, values_of
from ..plans.stored import stored
from ..surgery import apply
from ..wiring import Wiring, tensor_slots
from .repaired import Repaired
from .sweeping import inverse_factor, output_error, swept

Progress = Callable[[int, int, str], None]


def round_weights(
    wiring: Wiring,
    plan: Plan,
    data: Iterable[Any] | Activations,
    *,
    damping: float = 0.01,
    mask: Mask | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Repaired:
    """Carry out a plan of precision, with integers that change each layer's outputs less than the nearest ones.

    Scales stay those of the plan. Column by column is rounded, and the columns to come make up for the error.

    Args:
        wiring: of the model that the plan is for.
        plan: of ``plan_precision``, without plans before it.
        data: unlabelled batches, or activations that were gathered from them.
        damping: of the Gram matrices, as a share of their mean diagonal.
        mask, seed: as in ``evidence.activations``.
        progress: called with (weights done, weights in all, name).

    Returns:
        The quantized model, and the plan with the weights that were rounded otherwise as refitted. ``errors`` holds the
        squared change of each layer's outputs, as a share of their square, with the nearest integers and with these;
        where these are no better, the nearest are kept.

    Raises:
        PlanError: the plan sets no precision, or others come before it.
        InputError: activations of another model, or an option out of range.
        EvidenceError: as ``evidence.activations``.

    Source: Frantar et al., ICLR 2023, arXiv:2210.17323.
    """
    if plan.before or not plan.precisions:
        raise PlanError("round_weights takes a plan of plan_precision, made for the wired model, with none before it")
    if not damping > 0:
        raise InputError(f"damping={damping!r} must be > 0")
    if isinstance(data, Activations):
        if data.model != identity(wiring):
            raise InputError("these activations are of another model, or of other weights; gather them again")
        seen = data
    else:
        seen = activations(wiring, data, mask=mask, seed=seed)
    model = apply(wiring.model, plan).eval()
    slots = list(tensor_slots(model))
    errors: dict[str, tuple[float, float]] = {}
    for number, edit in enumerate(plan.precisions, start=1):
        inputs = seen.layers.get(edit.tensor)
        if edit.use != "embedding" and inputs is not None and inputs.gram is not None:
            weight = wiring.tensors[edit.tensor].detach()
            found, errors[edit.tensor] = _rounded(weight, inputs.gram, edit, damping)
            if errors[edit.tensor][1] < errors[edit.tensor][0]:
                old = next(slot.tensor for slot in slots if slot.name == edit.tensor)
                new = stored(weight, edit, found)
                for slot in slots:
                    if slot.tensor is old:
                        slot.holder[slot.key] = new
        if progress:
            progress(number, len(plan.precisions), edit.tensor)
    better = {name for name, (before, after) in errors.items() if after < before}
    better |= {alias for alias, first in wiring.aliases.items() if first in better}
    return Repaired(model, plan.with_refitted(better), errors)


def _rounded(
    weight: torch.Tensor, gram: torch.Tensor, edit: SetPrecision, damping: float
) -> tuple[Integers, tuple[float, float]]:
    """Integers, and the errors of the nearest and of these."""
    scale = scales_of(weight, edit)
    nearest = rounded_to(weight, scale, edit)
    low, high = -(2 ** (edit.bits - 1)), 2 ** (edit.bits - 1) - 1
    steps = spread(scale, block_of(weight.shape, edit)).expand(weight.shape).flatten(1).double()
    flat = weight.flatten(1)
    rows = len(flat) // len(gram)  # outputs of one group of a grouped convolution
    made = []
    for group, each in enumerate(gram):
        part = slice(group * rows, (group + 1) * rows)

        def choose(
            start: int, values: torch.Tensor, diagonal: torch.Tensor
        ) -> Callable[[int, torch.Tensor], torch.Tensor]:
            return lambda i, column: (column / steps[part, i]).round().clamp(low, high) * steps[part, i]  # noqa: B023

        made.append(swept(flat[part], inverse_factor(each, damping), choose))
    integers = (torch.cat(made) / steps).round().clamp(low, high).to(torch.int8).reshape(weight.shape)
    found = Integers(integers, scale, nearest.block)
    return found, (_error(weight, nearest, gram), _error(weight, found, gram))


def _error(weight: torch.Tensor, integers: Integers, gram: torch.Tensor) -> float:
    change = (values_of(integers, weight) - weight).flatten(1).unflatten(0, (len(gram), -1))
    flat = weight.flatten(1).unflatten(0, (len(gram), -1))
    each = [output_error(c, w, g) for c, w, g in zip(change, flat, gram, strict=True)]
    return sum(each) / len(each)
