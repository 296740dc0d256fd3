"""How badly another unit stands in for a unit."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..evidence import Activations, Weights
from ..wiring import Axis
from .consumers import Consumer, consumers_of, nothing_gathered
from .elimination import rising
from .magnitude import magnitude


@torch.no_grad()
def redundancy(
    axis: Axis,
    weights: Weights,
    *,
    activations: Activations,
    otherwise: Callable[[Axis, Weights], torch.Tensor] | None = magnitude,
) -> torch.Tensor:
    """Error of the readers' outputs when the most similar other unit, times a constant, stands in for a unit.

    err(u, v) = min over a of Σ over the layers that read the axis of E‖W_u x_u − a W_u x_v‖² / E‖Wx‖²

    Units go one after the other, always the one with the least err(u, v) over the units v that are still there, and
    score(u) is that error: of two that resemble each other only one scores low. The last unit scores as if it left
    nothing behind. What a constant makes up for does not count where the layer can add one.

    Args:
        axis: the axis to score.
        weights: current weights.
        activations: of the model, with Gram matrices; see ``netsmith.evidence.activations``.
        otherwise: the score of an axis that no layer with a Gram matrix reads; see ``activation_variance``.

    Returns:
        (axis.size,) float32, higher = keep. Shares of the outputs' power, summed over layers.

    Raises:
        EvidenceError: activations of another model; or nothing reads the axis, and ``otherwise`` is None.

    Source: the pairwise surgery of Srinivas & Babu, BMVC 2015, arXiv:1507.06149, here from second moments.
    """
    found = [c for c in consumers_of(axis, weights, activations) if c.inputs.gram is not None]
    if not found:
        if otherwise is None:
            raise nothing_gathered(axis, "a Gram matrix of its inputs")
        return otherwise(axis, weights)
    own, shared, other = (torch.stack(parts).sum(0) for parts in zip(*map(_products, found), strict=True))
    # own (u), shared (u, v) and other (u, v): E‖W_u (x_u − a x_v)‖² = own − 2a·shared + a²·other
    saved = torch.where(other > 0, shared.square() / other.clamp_min(1e-300), 0.0)
    errors = (own.unsqueeze(1) - saved).clamp_min(0).fill_diagonal_(torch.inf)
    # With nothing to stand in for it, a unit is simply removed.
    best, who = torch.cat([errors, own.unsqueeze(1)], 1).min(1)
    best[list(axis.pinned)] = torch.inf
    gone: list[int] = []
    totals: list[float] = []
    while len(gone) < axis.size - len(axis.pinned):
        unit = int(best.argmin())
        gone.append(unit)
        totals.append(float(best[unit]))
        best[unit] = errors[:, unit] = torch.inf
        lost = ((who == unit) & best.isfinite()).nonzero()[:, 0]  # their substitute is gone: the next best
        best[lost], who[lost] = torch.cat([errors[lost], own[lost].unsqueeze(1)], 1).min(1)
    return rising(gone, totals, axis.size).to(found[0].weight.device)


def _products(consumer: Consumer) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(units,), (units, units), (units, units): W_u's products with the covariances of u, of u and v, and of v."""
    covariance, weight = consumer.inputs.covariance(), consumer.felt()
    assert covariance is not None
    power = float((weight * (covariance @ weight)).sum()) or 1.0
    units, k = consumer.columns.shape
    flat = consumer.columns.flatten()
    w = weight[:, consumer.columns]  # (g, u, k, m)
    inner = w @ w.transpose(2, 3)  # (g, u, k, k)
    own, shared, other = weight.new_zeros(units), weight.new_zeros(units, units), weight.new_zeros(units, units)
    for each, c in zip(inner, covariance, strict=True):
        blocks = c[flat][:, flat].reshape(units, k, units, k)
        diagonal = blocks.diagonal(dim1=0, dim2=2).permute(2, 0, 1)  # (v, k, k)
        own += (each * diagonal).sum((1, 2))
        shared += torch.einsum("ukl,ukvl->uv", each, blocks)
        other += each.flatten(1) @ diagonal.flatten(1).T
    return own / power, shared / power, other / power
