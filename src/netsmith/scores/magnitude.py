"""How large the weights of a unit are."""

from __future__ import annotations

import torch

from ..wiring import Axis
from .weights import Weights


def magnitude(axis: Axis, weights: Weights) -> torch.Tensor:
    """Euclidean norm of all weights tied to a unit, over every parameter the axis runs through.

    score(u) = sqrt( Σ over parameters p of Σ w² for the weights w of p tied to u )

    Args:
        axis: the axis to score.
        weights: current weights.

    Returns:
        (axis.size,) float32, ≥ 0, higher = keep.

    Source: Li et al., ICLR 2017, arXiv:1608.08710, over coupled layers as in Fang et al., CVPR 2023, arXiv:2301.12900.
    """
    squares = [rows.float().square().sum(dim=1) for rows in weights.per_unit(axis)]
    return (
        torch.stack([s.to(squares[0].device) for s in squares]).sum(dim=0).sqrt() if squares else torch.zeros(axis.size)
    )
