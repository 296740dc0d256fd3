"""Where to clip values before they are rounded to few integers: plain functions on histograms of magnitudes.

Rounding error grows with the range, clipping error shrinks with it. Each function looks at one histogram a row and
says at which magnitude to clip.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

_CANDIDATES = 64  # thresholds that are tried between a fifth and the whole of the range
_BINS = 2048


@dataclass(frozen=True)
class Histogram:
    """Counts of magnitudes in bins of equal width, one row a group of values that share a scale.

    Attributes:
        counts: (rows, bins) float32; bin b of a row counts b·width ≤ |x| < (b + 1)·width, the last its maximum too.
        width: (rows,) float32, ≥ 0.
    """

    counts: torch.Tensor
    width: torch.Tensor

    @property
    def largest(self) -> torch.Tensor:
        """(rows,): the largest magnitude."""
        return self.width * self.counts.shape[1]

    @property
    def centres(self) -> torch.Tensor:
        """(rows, bins): the middle of each bin."""
        middle = torch.arange(self.counts.shape[1], device=self.counts.device) + 0.5
        return middle * self.width[:, None]


def histogram(values: torch.Tensor, bins: int = _BINS) -> Histogram:
    """Histograms of the magnitudes of each row. values (rows, n)."""
    magnitudes = values.detach().float().abs()
    width = magnitudes.amax(1) / bins
    index = (magnitudes / width.clamp_min(1e-30)[:, None]).long().clamp_(0, bins - 1)
    counts = torch.zeros(len(values), bins, device=values.device)
    return Histogram(counts.scatter_add_(1, index, torch.ones_like(magnitudes)), width)


def clip_at_max(seen: Histogram, bits: int) -> torch.Tensor:
    """(rows,): the largest magnitude: nothing is clipped."""
    return seen.largest


def clip_at_percentile(seen: Histogram, bits: int, percentile: float = 99.9) -> torch.Tensor:
    """(rows,): the end of the bin up to which this percentage of the values lies."""
    share = seen.counts.cumsum(1) / seen.counts.sum(1, keepdim=True).clamp_min(1)
    first = (share < percentile / 100).sum(1).clamp_max(seen.counts.shape[1] - 1)
    return (first + 1) * seen.width


def clip_by_mse(seen: Histogram, bits: int) -> torch.Tensor:
    """(rows,): the threshold with the least mean squared error of clipping and rounding to ``bits`` bits.

    Source: as in Choukroun et al., ICCV workshops 2019, arXiv:1902.06822: a search over thresholds.
    """
    centres, steps = seen.centres, 2 ** (bits - 1) - 0.5

    def error(threshold: torch.Tensor) -> torch.Tensor:
        scale = (threshold / steps).clamp_min(1e-30)[:, None]
        rounded = (centres / scale).round().clamp_max(2 ** (bits - 1) - 1) * scale
        return (seen.counts * (centres - rounded).square()).sum(1)

    return _best(seen, error)


def clip_by_kl(seen: Histogram, bits: int) -> torch.Tensor:
    """(rows,): the threshold whose clipped and rounded histogram has the least KL divergence from the clipped one.

    Source: Migacz, 8-bit inference with TensorRT, GTC 2017.
    """
    bins, levels = seen.counts.shape[1], 2 ** (bits - 1)
    index = torch.arange(bins, device=seen.counts.device)
    reach = (seen.largest / seen.width.clamp_min(1e-30)).clamp_min(1)

    def divergence(threshold: torch.Tensor) -> torch.Tensor:
        kept = (threshold / seen.width.clamp_min(1e-30)).round().clamp_min(levels).minimum(reach)[:, None]
        inside = index[None] < kept
        clipped = seen.counts * inside
        last = (kept.long() - 1).clamp_min(0)
        p = clipped.scatter_add(1, last, (seen.counts * ~inside).sum(1, keepdim=True))  # outliers count at the edge
        level = (index[None] * levels / kept).long().clamp_max(levels - 1)
        there = (clipped > 0).float()
        mass = torch.zeros(len(p), levels, device=p.device).scatter_add(1, level, clipped)
        places = torch.zeros_like(mass).scatter_add(1, level, there)
        q = (mass / places.clamp_min(1)).gather(1, level) * there
        p, q = p / p.sum(1, keepdim=True).clamp_min(1e-30), q / q.sum(1, keepdim=True).clamp_min(1e-30)
        return torch.where(p > 0, p * (p.clamp_min(1e-30) / q.clamp_min(1e-12)).log(), 0).sum(1)

    return _best(seen, divergence)


CLIPPING: Mapping[str, Callable[[Histogram, int], torch.Tensor]] = {
    "max": clip_at_max,
    "percentile": clip_at_percentile,
    "mse": clip_by_mse,
    "kl": clip_by_kl,
}


def _best(seen: Histogram, cost: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """The threshold of least cost, of shares of the largest magnitude; the larger of equals."""
    best, least = seen.largest, cost(seen.largest)
    for step in range(_CANDIDATES - 1, 0, -1):
        threshold = seen.largest * (0.2 + 0.8 * step / _CANDIDATES)
        found = cost(threshold)
        better = found < least
        best, least = torch.where(better, threshold, best), torch.where(better, found, least)
    return best
