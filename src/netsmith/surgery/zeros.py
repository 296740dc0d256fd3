"""Single weights held at zero: set, remember, hold through training, let go."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from ..plans import Plan
from ..plans.sparsity import zeros_of
from ..wiring import tensor_slots

Zeros = Mapping[str, torch.Tensor]
"""Name of a tensor -> booleans of its shape: true where it is zero."""


def set_zeros(model: nn.Module, zeros: Zeros) -> None:
    """Set weights of a model of one's own to zero, in place; the others keep their bits."""
    with torch.no_grad():
        for slot in tensor_slots(model):
            if slot.name in zeros and not slot.tensor.is_meta:
                slot.tensor.masked_fill_(zeros[slot.name].to(slot.tensor.device), 0)


def masks(model: nn.Module, plan: Plan | None = None) -> dict[str, torch.Tensor]:
    """Which weights of a model are zero and should stay so.

    Args:
        model: sparsified, perhaps pruned on since.
        plan: of the last step, whose zeros alone are meant; None: every zero in a parameter of at least two dimensions.

    Returns:
        Name -> booleans, for parameters that have such zeros.
    """
    if plan is not None:
        return {edit.tensor: zeros_of(edit) for edit in plan.sparsities}
    found = {slot.name: slot.tensor.detach() == 0 for slot in tensor_slots(model) if _is_weight(slot.tensor)}
    return {name: zeros for name, zeros in found.items() if bool(zeros.any())}


def keeping(model: nn.Module, zeros: Zeros) -> Callable[[], None]:
    """A function to call after each optimizer step: it sets what has to be zero to zero again."""
    held = {name: mask.clone() for name, mask in zeros.items()}
    return lambda: set_zeros(model, held)


def count_zeros(model: nn.Module) -> tuple[int, int]:
    """(weights that are zero, weights in all) of the parameters of at least two dimensions; tied ones count once."""
    tensors = {id(slot.tensor): slot.tensor.detach() for slot in tensor_slots(model) if _is_weight(slot.tensor)}
    return sum(int((t == 0).sum()) for t in tensors.values()), sum(t.numel() for t in tensors.values())


def _is_weight(tensor: torch.Tensor) -> bool:
    return isinstance(tensor, nn.Parameter) and tensor.dim() > 1 and tensor.is_floating_point() and not tensor.is_meta
