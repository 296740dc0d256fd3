"""How large the weights that read a unit are, times how large the unit is."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..evidence import Activations, Weights
from ..wiring import Axis
from .consumers import consumers_of, nothing_gathered
from .magnitude import magnitude


def wanda(
    axis: Axis,
    weights: Weights,
    *,
    activations: Activations,
    otherwise: Callable[[Axis, Weights], torch.Tensor] | None = magnitude,
) -> torch.Tensor:
    """Weights times activations of the layers that read a unit.

    score(u) = Σ over the layers that read u, over its inputs i there and the outputs j, of |W_ij| · sqrt(E x_i²)

    Args:
        axis: the axis to score.
        weights: current weights.
        activations: of the model; see ``netsmith.evidence.activations``.
        otherwise: the score of an axis that no linear layer or convolution reads; see ``activation_variance``.

    Returns:
        (axis.size,) float32, ≥ 0, higher = keep.

    Raises:
        EvidenceError: activations of another model; or nothing reads the axis, and ``otherwise`` is None.

    Source: Sun et al., ICLR 2024, arXiv:2306.11695, summed over units (Wanda-sp) as in An et al., AAAI 2024,
    arXiv:2312.11983.
    """
    found = consumers_of(axis, weights, activations)
    if not found:
        if otherwise is None:
            raise nothing_gathered(axis, "activations")
        return otherwise(axis, weights)
    total = torch.zeros(axis.size, device=found[0].weight.device)
    for consumer in found:
        each = consumer.weight.float().abs().sum(2) * consumer.inputs.square.sqrt()  # (groups, inputs)
        total += each[:, consumer.columns].sum((0, 2))
    return total
