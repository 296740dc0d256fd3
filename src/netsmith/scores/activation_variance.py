"""How much a unit's activation varies."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..evidence import Activations, Weights
from ..wiring import Axis
from .consumers import consumers_of, nothing_gathered
from .magnitude import magnitude


def activation_variance(
    axis: Axis,
    weights: Weights,
    *,
    activations: Activations,
    otherwise: Callable[[Axis, Weights], torch.Tensor] | None = magnitude,
) -> torch.Tensor:
    """Variance of a unit's activation over the data, where layers read it: what hardly varies, a bias can replace.

    score(u) = mean over the layers that read u of the mean variance of u's inputs there

    Args:
        axis: the axis to score.
        weights: current weights; only their shapes matter.
        activations: of the model; see ``netsmith.evidence.activations``.
        otherwise: the score of an axis that no linear layer or convolution reads (queries, keys, some recurrent
            states). Units are only compared with units of their own axis, so the two need no common scale. None: an
            error.

    Returns:
        (axis.size,) float32, ≥ 0, higher = keep.

    Raises:
        EvidenceError: activations of another model; or nothing reads the axis, and ``otherwise`` is None.

    Source: Polyak & Wolf, IEEE Access 3, 2015 (activations' variance), read at the consumers as in An et al., AAAI 2024
    (FLAP), arXiv:2312.11983.
    """
    found = consumers_of(axis, weights, activations)
    if not found:
        if otherwise is None:
            raise nothing_gathered(axis, "activations")
        return otherwise(axis, weights)
    each = [consumer.inputs.variance()[:, consumer.columns].mean((0, 2)) for consumer in found]
    return torch.stack(each).mean(0)
