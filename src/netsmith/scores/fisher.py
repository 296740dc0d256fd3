"""How much the outputs answer to the weights of a unit, each on its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..evidence import Weights
from ..wiring import Axis
from .taylor import each_batch


def fisher(axis: Axis, weights: Weights, *, gradients: Sequence[Weights]) -> torch.Tensor:
    """Second-order estimate of how much the loss changes if a unit is removed, with a diagonal Hessian.

    score(u) = ½ Σ w² · F_w over every weight tied to unit u, with F_w = mean over batches b of (∂L_b/∂w)²

    Args:
        axis: the axis to score; n = axis.size.
        weights: current weights.
        gradients: ∂L/∂w of at least one batch each, as ``netsmith.evidence.gradients`` gathers them. Without a loss of
            the caller's, F is the diagonal of the Fisher matrix divided by the batch size, whatever the batch size:
            examples whose labels are drawn from the model itself are independent.

    Returns:
        (n,) float32, ≥ 0, higher = keep.

    Raises:
        EvidenceError: a parameter of the axis has no gradient; the message lists which.

    Source: optimal brain damage, LeCun et al., NeurIPS 1989, with the Fisher diagonal as in Theis et al., 2018,
    arXiv:1801.05787.
    """
    total = torch.zeros(axis.size)
    for products in each_batch(axis, weights, gradients):
        squares = sum((rows.square().sum(dim=1) for rows in products), torch.zeros(axis.size))
        total += squares / (2 * len(gradients))
    return total
