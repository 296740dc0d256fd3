"""How much each weight minds being stored in few bits, and which bits to give each under a budget of bytes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..costs import predict
from ..data.running import eval_mode
from ..errors import BudgetError
from ..evidence import calibration_batches, device_of, first_output, mean_divergence
from ..wiring import Wiring, call_model, tensor_slots
from .budget import Budget
from .edits import SetPrecision
from .integers import bytes_of, integers_of, values_of


@dataclass(frozen=True)
class Choice:
    """One way to store one weight.

    Attributes:
        edit: how; None: as floats.
        bytes: what it then takes.
        error: divergence of the outputs when it alone is stored so: mean KL in nats for class scores, else relative
            squared error.
    """

    edit: SetPrecision | None
    bytes: int
    error: float


def sensitivities(
    wiring: Wiring,
    menus: Mapping[str, Sequence[SetPrecision]],
    data: Iterable[Any],
    *,
    most_examples: int = 256,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, list[Choice]]:
    """Measure every weight's choices, one weight at a time, the others as they are.

    Args:
        wiring: of the model.
        menus: weight -> ways to store it.
        data: unlabelled batches, each ``x`` or ``(x, y)``.
        most_examples: of them used.
        progress: called with (weights measured, weights in all, name).

    Returns:
        weight -> its choices, as floats first.

    Raises:
        InputError, EvidenceError: as ``calibration_batches``.
    """
    model = copy.deepcopy(wiring.model)
    batches = calibration_batches(data, most_examples=most_examples, device=device_of(model))
    slots = {slot.name: slot.tensor for slot in tensor_slots(model)}
    found: dict[str, list[Choice]] = {}
    with torch.random.fork_rng(devices=[]), eval_mode(model), torch.no_grad():
        references = [first_output(call_model(model, inputs)) for inputs in batches]
        for number, (name, edits) in enumerate(menus.items(), start=1):
            weight = slots[name]
            before = weight.detach().clone()
            found[name] = [Choice(None, before.numel() * before.element_size(), 0.0)]
            for edit in edits:
                weight.copy_(values_of(integers_of(before, edit), before))
                error = mean_divergence(model, batches, references)
                found[name].append(Choice(edit, bytes_of(before.shape, edit), error))
            weight.copy_(before)
            if progress:
                progress(number, len(menus), name)
    return found


def cheapest(wiring: Wiring, budget: Budget, choices: Mapping[str, Sequence[Choice]]) -> dict[str, SetPrecision]:
    """For each weight that is to become integers, how: the least sum of measured errors within a budget of bytes.

    Walks from floats down, always to the next choice that adds the least error for the bytes that it saves.

    Raises:
        BudgetError: the budget is below what all weights take in the fewest bytes.

    Source: marginal analysis, Fox, Management Science 13(3), 1966; optimal for convex menus.
    """
    whole = predict(wiring, wiring.sizes)
    limit = budget.limits(whole)["bytes"]
    rest = whole.bytes - sum(menu[0].bytes for menu in choices.values())
    floor = rest + sum(min(choice.bytes for choice in menu) for menu in choices.values())
    if floor > limit:
        raise BudgetError(
            f"the budget of {limit:,.0f} bytes cannot be met by precision: with every weight in the fewest bits "
            f"{floor:,} bytes are left. Prune first, or give a budget above it"
        )
    chosen = {name: menu[0] for name, menu in choices.items()}
    while rest + sum(choice.bytes for choice in chosen.values()) > limit:
        steps = [
            (max(choice.error - chosen[name].error, 0.0) / (chosen[name].bytes - choice.bytes), name, i)
            for name, menu in choices.items()
            for i, choice in enumerate(menu)
            if choice.bytes < chosen[name].bytes
        ]
        _, name, i = min(steps)
        chosen[name] = choices[name][i]
    return {name: choice.edit for name, choice in chosen.items() if choice.edit is not None}
