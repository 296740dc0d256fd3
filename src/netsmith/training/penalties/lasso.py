"""Whole units: group lasso over every weight that is tied to a unit."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ...wiring import Wiring
from ..loop import Penalty
from .norms import check_strength
from .units import regularized_axes, unit_squares, weights_per_unit

_SMOOTH = 1e-12  # under the root: at zero it has no gradient


def group_lasso(wiring: Wiring, strength: float, *, ignore: Iterable[str] = ()) -> Penalty:
    """strength · Σ over axes Σ over units √(weights of a unit) · ‖weights of the unit‖₂.

    The norm is over the coupled weights: what makes the unit, scales it and reads it, so that a unit at zero can be
    removed exactly (``plans.plan_threshold``).

    Args:
        wiring: of the network that will be trained.
        strength: ≥ 0.
        ignore: name patterns, as in ``plan_removal``.

    Raises:
        InputError, ModelError, UnknownNameError: see ``units.regularized_axes`` and ``plan_removal``.

    Source: Yuan & Lin 2006; Wen et al., NeurIPS 2016, arXiv:1608.03665; over coupled layers as in Fang et al., CVPR
    2023, arXiv:2301.12900.
    """
    check_strength(strength)
    axes = regularized_axes(wiring, ignore)

    def penalty(model: nn.Module, step: int) -> Tensor:
        parameters = dict(model.named_parameters())
        parts = []
        for axis in axes:
            norms = (unit_squares(axis, parameters) + _SMOOTH).sqrt()
            parts.append(math.sqrt(weights_per_unit(axis, parameters)) * norms.sum())
        return strength * torch.stack(parts).sum()

    return penalty
