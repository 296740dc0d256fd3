"""Growing regularization: units that a plan will remove are pressed ever harder, so that the rest takes over."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...errors import InputError
from ...plans import Plan
from ...wiring import Wiring
from ..loop import Penalty
from .units import regularized_axes, unit_squares


def growing(wiring: Wiring, plan: Plan, *, rise: float = 1e-4, every: int = 5, ceiling: float = 1.0) -> Penalty:
    """GReg-1: λ/2 · Σ w² over the units that the plan removes, λ = min(ceiling, rise · (1 + steps // every)).

    Afterwards carry the plan out: ``apply(trained, plan)`` removes what has gone to zero.

    Args:
        wiring: of the network that will be trained.
        plan: which units will go, e.g. from ``plan_removal(wiring, keep=0.5)``.
        rise: added to λ every so many steps, > 0.
        every: steps, ≥ 1.
        ceiling: λ's highest value, > 0; SGD without momentum needs lr · ceiling < 2.

    Raises:
        InputError: options out of range, or a plan that is not of this wiring or removes no unit.

    Source: Wang et al., ICLR 2021, arXiv:2012.09243.
    """
    if not (rise > 0 and ceiling > 0 and every >= 1):
        raise InputError(f"rise={rise}, ceiling={ceiling} and every={every} must be positive")
    if plan.fingerprint != wiring.fingerprint:
        raise InputError("the plan was made for another model than the wiring; make it from this wiring")
    axes = {axis.name: axis for axis in regularized_axes(wiring, ())}
    going = {edit.axis: sorted(set(range(edit.size)) - set(edit.keep)) for edit in plan.resizes if edit.axis in axes}
    if not any(going.values()):
        raise InputError("the plan removes no unit, so there is nothing to press; plan for less")

    def penalty(model: nn.Module, step: int) -> Tensor:
        parameters = dict(model.named_parameters())
        strength = min(ceiling, rise * (1 + step // every))
        parts = [unit_squares(axes[name], parameters)[units].sum() for name, units in going.items()]
        return strength / 2 * torch.stack(parts).sum()

    return penalty
