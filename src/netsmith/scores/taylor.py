"""How much the loss answers to a unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from ..errors import EvidenceError
from ..evidence import Weights
from ..wiring import Axis


def taylor(axis: Axis, weights: Weights, *, gradients: Sequence[Weights]) -> torch.Tensor:
    """First-order estimate of how much the loss changes if a unit is removed.

    score(u) = mean over batches b of (Σ w · ∂L_b/∂w over every weight tied to unit u)²

    Args:
        axis: the axis to score; n = axis.size.
        weights: current weights; ``weights.per_unit(axis)`` yields one (n, elements) view a parameter.
        gradients: ∂L/∂w of at least one batch each, same loss reduction; see ``netsmith.evidence.gradients``.

    Returns:
        (n,) float32, ≥ 0, higher = keep. Unit: loss² (nats² for cross-entropy).

    Raises:
        EvidenceError: a parameter of the axis has no gradient; the message lists which.

    Source: Molchanov et al., CVPR 2019, arXiv:1906.10771; here the inner sum runs over the coupled axis.
    """
    total = torch.zeros(axis.size)
    for products in each_batch(axis, weights, gradients):
        change = sum((rows.sum(dim=1) for rows in products), torch.zeros(axis.size))
        total += change.square() / len(gradients)
    return total


def each_batch(axis: Axis, weights: Weights, gradients: Sequence[Weights]) -> Iterator[list[torch.Tensor]]:
    """For each batch, w · ∂L/∂w of each parameter as (axis.size, elements) float32 on the CPU.

    Raises:
        EvidenceError: no gradients, or a parameter of the axis has none, or one of another shape.
    """
    if not gradients:
        raise EvidenceError("gradients is empty; give netsmith.evidence.gradients(wiring, data)")
    names = list(dict.fromkeys(m.tensor for m in axis.members if m.trainable))
    missing = [name for name in names if any(name not in each.tensors for each in gradients)]
    if missing:
        raise EvidenceError(
            f"no gradient of {', '.join(missing[:8])}, on axis {axis.name!r}; gather them on this model with "
            "netsmith.evidence.gradients(wiring, data)"
        )
    for name in names:
        given, own = gradients[0].tensors[name].shape, weights.tensors[name].shape
        if given != own:
            raise EvidenceError(
                f"the gradient of {name} has shape {tuple(given)}, the weight {tuple(own)}: it is of another model"
            )
    values = [rows.float() for rows in weights.per_unit(axis)]
    for each in gradients:
        yield [(w * g.to(w)).cpu() for w, g in zip(values, each.per_unit(axis), strict=True)]
