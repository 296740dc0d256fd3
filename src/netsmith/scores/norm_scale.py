"""How strongly normalizations let a unit through."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..errors import EvidenceError
from ..evidence import Weights
from ..wiring import Axis, Wiring
from .magnitude import magnitude

_NORMALIZATIONS = ("batch_norm", "layer_norm", "rms_norm", "group_norm", "instance_norm")
_PRODUCTS = ("mul", "mul_", "__mul__", "__rmul__", "__imul__", "multiply")


def norm_scale(
    axis: Axis,
    weights: Weights,
    *,
    wiring: Wiring,
    otherwise: Callable[[Axis, Weights], torch.Tensor] | None = magnitude,
) -> torch.Tensor:
    """Absolute scale (γ) of the normalizations on an axis.

    score(u) = Σ |γ_u| over the weights of all normalizations over the axis, and over other parameters that multiply it
    unit by unit (a LayerScale, an RMSNorm written by hand)

    Args:
        axis: the axis to score.
        weights: current weights.
        wiring: of the model; says which parameters are scales.
        otherwise: the score of an axis that no such parameter lies on, as behind a linear layer without one. Units are
            only compared with units of their own axis, so the two need no common scale. None: an error.

    Returns:
        (axis.size,) float32, ≥ 0, higher = keep.

    Raises:
        EvidenceError: no scale on the axis, and ``otherwise`` is None.

    Source: Liu et al., ICCV 2017 (network slimming), arXiv:1708.06519; there, training penalizes γ.
    """
    scales = scale_parameters(wiring)
    members = tuple(m for m in axis.members if m.tensor in scales and m.role == "pointwise")
    if not any(m.trainable for m in members):
        if otherwise is None:
            raise EvidenceError(
                f"axis {axis.name!r} has no normalization; ignore it, or take another score (in Python, "
                "for such axes: otherwise=scores.magnitude)"
            )
        return otherwise(axis, weights)
    return magnitude(Axis(axis.name, axis.size, axis.frozen, members), weights, p=1)


def scale_parameters(wiring: Wiring) -> set[str]:
    """Parameters that a normalization takes as its weight, or that something is multiplied with."""
    found = set()
    for call in wiring.calls:
        slots = [origin.name for origin in call.origins if origin.kind == "slot"]
        if call.name in _NORMALIZATIONS and len(call.origins) > 1 and call.origins[1].kind == "slot":
            found.add(call.origins[1].name)  # torch's order: input, weight, bias
        elif call.name in _PRODUCTS:
            found |= set(slots)
    return found
