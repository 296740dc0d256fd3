"""Remove-and-restore swaps: units chosen by elimination, improved one exchange at a time.

For a set of kept units the squared error of the layers that read them, after their ridge refit, is a closed form of
the second moments. A swap restores one removed unit and removes the unit that is then missed least; swaps go on while
that error falls.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from netsmith.scores.elimination import Reader, losses_alone

TRIED, MOST = 6, 8  # removed units that are tried in each swap, those that help most alone; swaps
FALL = 1e-5  # of the error, that a swap must bring


def lost(readers: Sequence[Reader], removed: Sequence[int]) -> float:
    """By how much the readers' outputs are worse, after refitting, without the removed units."""
    total = 0.0
    for reader in readers:
        columns = reader.columns[list(removed)].flatten()
        weight = reader.weight[:, columns]
        block = reader.inverse[:, columns][:, :, columns]
        total += float((weight * torch.linalg.solve(block, weight)).sum())
    return total


class State:
    """One layer refitted to the units that are kept: the inverse of their covariance, and the weight."""

    def __init__(self, reader: Reader):
        self.columns, self.covariance = reader.columns, torch.linalg.inv(reader.inverse)
        self.cross = self.covariance @ reader.weight

    def keep(self, units: Sequence[int]) -> None:
        columns = self.columns[list(units)].flatten()
        self.inverse = torch.zeros_like(self.covariance)
        part = self.covariance[:, columns][:, :, columns]
        self.inverse[:, columns[:, None], columns[None]] = torch.linalg.inv(part)
        self.weight = self.inverse @ self.cross

    def restored(self, unit: int) -> tuple[float, torch.Tensor, torch.Tensor]:
        """How much less is lost with one more unit; the inverse and the weight then."""
        c = self.columns[unit]
        side = self.inverse @ self.covariance[:, :, c]
        schur = self.covariance[:, c][:, :, c] - self.covariance[:, c] @ side
        rest = self.cross[:, c] - self.covariance[:, c] @ self.weight
        new = torch.linalg.solve(schur, rest)
        step = -side
        step[:, c] += torch.eye(len(c), dtype=step.dtype)
        inverse = self.inverse + step @ torch.linalg.solve(schur, step.transpose(1, 2))
        return float((rest * new).sum()), inverse, self.weight + step @ new


def swapped(
    readers: Sequence[Reader], order: Sequence[int], width: int, pinned: Sequence[int]
) -> tuple[list[int], int, float]:
    """The kept units after swapping, how many swaps it took, and the share of the error that they took away."""
    kept, removed = list(order[:width]), list(order[width:])
    able = [unit for unit in kept if unit not in pinned]
    if not removed or not able:
        return kept, 0, 0.0
    first = now = lost(readers, removed)
    states, count = [State(reader) for reader in readers], 0
    while count < MOST:
        for state in states:
            state.keep(kept)
        able = [unit for unit in kept if unit not in pinned]
        back = {unit: [state.restored(unit) for state in states] for unit in removed}
        best = (now, -1, -1)
        for unit in sorted(removed, key=lambda u: -sum(each[0] for each in back[u]))[:TRIED]:
            losses = torch.zeros(len(able), dtype=torch.float64)
            for state, (_, inverse, weight) in zip(states, back[unit], strict=True):
                losses += losses_alone(inverse, weight, state.columns[able])
            total = now - sum(each[0] for each in back[unit]) + float(losses.min())
            best = min(best, (total, unit, able[int(losses.argmin())]))
        if best[0] >= now * (1 - FALL):
            break
        now, unit, gone = best
        kept = [u for u in kept if u != gone] + [unit]
        removed = [u for u in removed if u != unit] + [gone]
        count += 1
    return kept, count, 1 - lost(readers, removed) / first if first else 0.0
