"""The least-squares fit of one layer, towards what comes out behind it or behind the rectifier after that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..evidence import Moments, ridge

TINY = 1e-6  # a channel's gain below which its weights are left alone
_MOST_NUMBERS = 2**26  # of input rows kept for one layer


@dataclass(frozen=True)
class Linear:
    """x @ weight + bias, for each of several groups: weight (groups, inputs, outputs), bias (groups, outputs)."""

    weight: torch.Tensor
    bias: torch.Tensor


class Sample:
    """Rows of one layer's inputs x and wanted outputs t, and z, what t becomes at the end of the branch.

    Behind the layer lies z = scale · t + (what is given): a normalization, perhaps a shortcut. Moments are always kept;
    the rows themselves only where a rectifier reads z (``limits``: what it lets through; ()
    where there is none), and of them no more than memory should hold.
    """

    def __init__(
        self, groups: int, inputs: int, outputs: int, limits: Sequence[float], batches: int, device: torch.device
    ):
        self.moments = Moments(groups, inputs, outputs, device)
        self.limits = tuple(limits)
        self._most = _MOST_NUMBERS // (groups * inputs * max(batches, 1)) if limits else 0
        self._kept: list[list[torch.Tensor]] = []

    def add(self, x: torch.Tensor, t: torch.Tensor, z: torch.Tensor) -> None:
        """x (rows, groups, inputs); t and z (rows, groups, outputs)."""
        self.moments.add(x, t)
        if self._most:
            self._kept.append([each[: self._most].float().transpose(0, 1) for each in (x, t, z)])

    def rows(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
        """x, t and z as (groups, rows, …); None where none were kept."""
        if not self._kept:
            return None
        x, t, z = (torch.cat(each, 1) for each in zip(*self._kept, strict=True))
        return x, t, z


def fitted(
    train: Sample, judge: Sample, plain: Linear, scale: torch.Tensor, *, free: bool, strength: float, steps: int
) -> tuple[Linear | None, tuple[float, float]]:
    """The better of least squares on t and on the rectified z, or None where neither beats the plain weights.

    Args:
        train, judge: rows to fit on and rows to judge by.
        plain: the layer as it is; the ridge pulls towards its weight.
        scale: (groups, outputs), from t to z.
        free: a constant can be added to the layer's output.
        strength: of the ridge, as a share of the mean input variance.
        steps: towards the rectified z.

    Returns:
        The fit, and the judged error before and after.
    """
    moments = train.moments
    covariance, cross = moments.centred() if free else moments.plain()
    silent = (scale.abs() < TINY).unsqueeze(1)
    best = None
    first = error = _judged(judge, plain, scale)
    weight = ridge(covariance, cross, plain.weight, strength)
    candidates = [_with_bias(weight, moments, free)]
    rows = train.rows()
    if rows is not None and steps:
        through = (train.limits[0], train.limits[1])
        candidates.append(
            _rectified(
                *rows, covariance, candidates[0], plain, scale, through, free=free, strength=strength, steps=steps
            )
        )
    for each in candidates:
        each = Linear(torch.where(silent, plain.weight, each.weight), each.bias)
        now = _judged(judge, each, scale)
        if now < error or (best is None and now < first):
            best, error = each, now
    return best, (first, error if best is not None else _judged(judge, candidates[0], scale))


def _with_bias(weight: torch.Tensor, moments: Moments, free: bool) -> Linear:
    means = moments.intercepts(weight)
    return Linear(weight, means if free else torch.zeros_like(means))


def _judged(judge: Sample, layer: Linear, scale: torch.Tensor) -> float:
    """Squared error as it counts behind the layer, summed over outputs."""
    rows = judge.rows()
    if rows is None:
        return float((judge.moments.errors(layer.weight, layer.bias) * scale.double().square()).sum())
    x, t, z = rows
    now = z + scale.unsqueeze(1) * (_run(x, layer) - t)
    return float((now.clamp(*judge.limits) - z.clamp(*judge.limits)).double().square().mean(1).sum())


def _run(x: torch.Tensor, layer: Linear) -> torch.Tensor:
    return x @ layer.weight.float() + layer.bias.float().unsqueeze(1)


def _rectified(
    x: torch.Tensor,
    t: torch.Tensor,
    z: torch.Tensor,
    covariance: torch.Tensor,
    start: Linear,
    plain: Linear,
    scale: torch.Tensor,
    limits: tuple[float, float],
    *,
    free: bool,
    strength: float,
    steps: int,
) -> Linear:
    """Majorize-minimize on the convex loss (z − ẑ)² where z is let through, elsewhere how far ẑ is on the wrong side.

    Where z is cut off any value that is cut off alike will do, so each step asks there for the nearest that does: an
    ordinary least-squares problem with the same matrix, whose solution cannot be worse.
    """
    low, high = limits
    mean = x.mean(1, keepdim=True) if free else torch.zeros_like(x[:, :1])
    gain = torch.where(scale.abs() < TINY, 1.0, scale).unsqueeze(1)
    layer = start
    for _ in range(steps):
        now = z + gain * (_run(x, layer) - t)
        nearest = torch.where(z <= low, now.clamp_max(low), torch.where(z >= high, now.clamp_min(high), z))
        wanted = t + (nearest - z) / gain
        middle = wanted.mean(1, keepdim=True) if free else torch.zeros_like(wanted[:, :1])
        cross = ((x.transpose(1, 2) @ (wanted - middle)) / x.shape[1]).double()
        weight = ridge(covariance, cross, plain.weight, strength)
        bias = (middle.double() - mean.double() @ weight).squeeze(1)
        layer = Linear(weight, bias if free else torch.zeros_like(bias))
    return layer
