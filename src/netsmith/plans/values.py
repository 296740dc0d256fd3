"""What a tensor becomes when units of its axes are taken, once or several times, and shared out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch


def resized_values(
    tensor: torch.Tensor, taken: Mapping[int, Sequence[int]], shares: Mapping[int, Sequence[float]]
) -> torch.Tensor:
    """The positions that are taken along each dimension, each times its share.

    Args:
        tensor: any; not changed.
        taken: dimension -> position before, for each position after (``Plan.taken``).
        shares: dimension -> factor of each position after (``Plan.shares``).
    """
    for dim, positions in taken.items():
        tensor = tensor.index_select(dim, torch.tensor(positions, device=tensor.device))
    for dim, factors in shares.items():
        shape = [-1 if d == dim else 1 for d in range(tensor.dim())]
        tensor = tensor * torch.tensor(factors, dtype=tensor.dtype, device=tensor.device).reshape(shape)
    return tensor
