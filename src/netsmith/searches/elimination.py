"""Which units of an axis go: one after the other, always the one whose loss repair makes up for best.

Source: Hassibi & Stork, NeurIPS 1993 (optimal brain surgeon), on layer inputs as in Frantar & Alistarh, NeurIPS 2022,
arXiv:2208.11580; here the columns of one unit, in all layers that read it, go at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Reader:
    """One layer that reads the axis: what elimination needs to know of it.

    Attributes:
        inverse: (groups, d, d), of the input's covariance plus a ridge.
        weight: (groups, d, m), the weight, times what each output counts.
        columns: (units, columns of each unit).
    """

    inverse: torch.Tensor
    weight: torch.Tensor
    columns: torch.Tensor


def elimination_order(readers: Sequence[Reader], units: int, pinned: Sequence[int] = ()) -> tuple[int, ...]:
    """Units, those that stay longest first; pinned ones before all others.

    Each step costs one rank-k update of every reader's inverse, k being the columns of a unit.
    """
    inverses, weights = [r.inverse.clone() for r in readers], [r.weight.clone() for r in readers]
    alive, gone = [u for u in range(units) if u not in set(pinned)], []
    while len(alive) > 1:
        losses = torch.zeros(len(alive), dtype=torch.float64, device=inverses[0].device)
        for reader, inverse, weight in zip(readers, inverses, weights, strict=True):
            columns = reader.columns[alive]  # (a, k)
            block = inverse[:, columns[:, :, None], columns[:, None, :]]  # (g, a, k, k)
            w = weight[:, columns]  # (g, a, k, m)
            losses += (w * torch.linalg.solve(block, w)).sum((0, 2, 3))
        unit = alive.pop(int(losses.argmin()))
        gone.append(unit)
        for reader, inverse, weight in zip(readers, inverses, weights, strict=True):
            columns = reader.columns[unit]
            side = inverse[:, :, columns]  # (g, d, k)
            step = torch.linalg.solve(side[:, columns], torch.cat([weight[:, columns], side.transpose(1, 2)], 2))
            m = weight.shape[2]
            weight -= side @ step[:, :, :m]
            inverse -= side @ step[:, :, m:]
            weight[:, columns] = 0
    return (*sorted(pinned), *alive, *reversed(gone))
