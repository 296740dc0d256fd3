"""How large the weights of a unit are."""

from __future__ import annotations

import torch

from ..errors import InputError
from ..evidence import Weights
from ..wiring import Axis


def magnitude(axis: Axis, weights: Weights, *, p: float = 2) -> torch.Tensor:
    """Norm of all weights tied to a unit, over every parameter the axis runs through.

    score(u) = ( Σ over parameters of Σ |w|^p for the weights w tied to u )^(1/p)

    Args:
        axis: the axis to score.
        weights: current weights.
        p: 2 for the Euclidean norm, 1 for the sum of absolute values; any number > 0.

    Returns:
        (axis.size,) float32, ≥ 0, higher = keep.

    Raises:
        InputError: p is not a number > 0.

    Source: Li et al., ICLR 2017, arXiv:1608.08710, over coupled layers as in Fang et al., CVPR 2023, arXiv:2301.12900.
    """
    if not isinstance(p, (int, float)) or not 0 < p < float("inf"):
        raise InputError(f"p={p!r} must be a number > 0: 2 for the Euclidean norm, 1 for the sum of absolute values")
    powers = [rows.float().abs().pow(p).sum(dim=1) for rows in weights.per_unit(axis)]
    if not powers:
        return torch.zeros(axis.size)
    return torch.stack([s.to(powers[0].device) for s in powers]).sum(dim=0).pow(1 / p)
