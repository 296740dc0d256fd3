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
    """Units, those that stay longest first; pinned ones before all others."""
    gone, _ = eliminated(readers, units, pinned)
    return (*sorted(pinned), *reversed(gone))


def eliminated(
    readers: Sequence[Reader], units: int, pinned: Sequence[int] = ()
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Units in the order in which they go, and by how much each makes the readers' outputs worse after refitting.

    Pinned units stay. Each step costs one rank-k update of every reader's inverse, k being the columns of a unit.
    """
    inverses, weights = [r.inverse.clone() for r in readers], [r.weight.clone() for r in readers]
    alive, gone, added = [u for u in range(units) if u not in set(pinned)], [], []
    while alive:
        losses = torch.zeros(len(alive), dtype=torch.float64, device=inverses[0].device)
        for reader, inverse, weight in zip(readers, inverses, weights, strict=True):
            losses += losses_alone(inverse, weight, reader.columns[alive])
        least = int(losses.argmin())
        unit = alive.pop(least)
        gone.append(unit)
        added.append(float(losses[least]))
        for reader, inverse, weight in zip(readers, inverses, weights, strict=True):
            columns = reader.columns[unit]
            side = inverse[:, :, columns]  # (g, d, k)
            step = torch.linalg.solve(side[:, columns], torch.cat([weight[:, columns], side.transpose(1, 2)], 2))
            m = weight.shape[2]
            weight -= side @ step[:, :, :m]
            inverse -= side @ step[:, :, m:]
            weight[:, columns] = 0
    return tuple(gone), tuple(added)


def losses_alone(inverse: torch.Tensor, weight: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """(units,): how much worse the outputs get, after refitting, without the columns (units, k) of each unit alone."""
    block = inverse[:, columns[:, :, None], columns[:, None, :]]  # (g, a, k, k)
    w = weight[:, columns]  # (g, a, k, m)
    if columns.shape[1] == 1:
        return (w.square().sum(3) / block[..., 0]).sum((0, 2))
    inner = w @ w.transpose(2, 3)  # (g, a, k, k): tr(wᵀ B⁻¹ w) = tr(B⁻¹ w wᵀ), with k right-hand sides and not m
    return torch.linalg.solve(block, inner).diagonal(dim1=2, dim2=3).sum((0, 2))


def rising(gone: Sequence[int], totals: Sequence[float], units: int) -> torch.Tensor:
    """(units,) float32 scores from the order in which units go: what goes later has the higher one.

    Args:
        gone: units, the first to go first; those that are not in it get the highest score.
        totals: of each, a number that should not fall; where it does, or rounding makes two equal, it is lifted.
        units: how many there are.
    """
    scores = torch.empty(units)
    last = torch.tensor(-torch.inf)
    for unit, total in zip(gone, totals, strict=True):
        last = torch.maximum(torch.tensor(total, dtype=torch.float32), torch.nextafter(last, torch.tensor(torch.inf)))
        scores[unit] = last
    rest = torch.ones(units, dtype=torch.bool)
    rest[list(gone)] = False
    scores[rest] = torch.nextafter(last, torch.tensor(torch.inf)) if gone else 0.0
    return scores
