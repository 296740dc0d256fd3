"""Second moments of a layer's inputs and targets: all that a least-squares repair needs."""

from __future__ import annotations

import torch

_WIDE = 512  # inputs from which halves are worth their calls


class Moments:
    """Running sums over rows (x, t), for each of ``groups`` independent regressions.

    Sums are kept in float64; rows are multiplied in float32. With n rows, d inputs and m targets a group:
    ``xx`` (groups, d, d), ``xt`` (groups, d, m), ``tt`` (groups, m), ``x`` (groups, d), ``t`` (groups, m).
    """

    def __init__(self, groups: int, inputs: int, targets: int, device: torch.device | None = None):
        def zeros(*shape: int) -> torch.Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        self.rows = 0
        self.xx, self.xt = zeros(groups, inputs, inputs), zeros(groups, inputs, targets)
        self.x, self.t, self.tt = zeros(groups, inputs), zeros(groups, targets), zeros(groups, targets)

    def add(self, x: torch.Tensor, t: torch.Tensor) -> None:
        """x (rows, groups, d), t (rows, groups, m)."""
        x, t = x.float().transpose(0, 1), t.float().transpose(0, 1)
        self.rows += x.shape[1]
        self.xx += gram(x).double()
        self.xt += (x.transpose(1, 2) @ t).double()
        self.x += x.sum(1, dtype=torch.float64)
        self.t += t.sum(1, dtype=torch.float64)
        self.tt += t.double().square().sum(1)

    def centred(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Covariances (groups, d, d) of x and (groups, d, m) of x with t."""
        n = self.rows
        mean = self.x / n
        return (
            self.xx / n - mean.unsqueeze(2) * mean.unsqueeze(1),
            self.xt / n - mean.unsqueeze(2) * (self.t / n).unsqueeze(1),
        )

    def plain(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Moments about zero."""
        return self.xx / self.rows, self.xt / self.rows

    def intercepts(self, weight: torch.Tensor) -> torch.Tensor:
        """(groups, m): the constant with which x @ weight has the mean of t. weight (groups, d, m)."""
        return (self.t - (weight * self.x.unsqueeze(2)).sum(1)) / self.rows

    def errors(self, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Mean squared error (groups, m) of x @ weight + bias. weight (groups, d, m), bias (groups, m)."""
        n = self.rows
        xt, xx = self.xt / n, self.xx / n
        mx, mt = self.x / n, self.t / n
        squares = (weight * (xx @ weight)).sum(1) + self.tt / n + bias.square()
        crosses = -2 * (weight * xt).sum(1) + 2 * bias * ((weight * mx.unsqueeze(2)).sum(1) - mt)
        return squares + crosses


def gram(x: torch.Tensor) -> torch.Tensor:
    """xᵀx (groups, d, d) of rows (groups, rows, d); where d is large, what is symmetric is multiplied once."""
    width = x.shape[2]
    if width < _WIDE:
        return x.transpose(1, 2) @ x
    left, right = x[:, :, : width // 2], x[:, :, width // 2 :]
    cross = left.transpose(1, 2) @ right
    above, below = torch.cat([gram(left), cross], 2), torch.cat([cross.transpose(1, 2), gram(right)], 2)
    return torch.cat([above, below], 1)


def ridge(covariance: torch.Tensor, cross: torch.Tensor, anchor: torch.Tensor, strength: float) -> torch.Tensor:
    """argmin over W of E|t - xW|² + λ|W - anchor|², batched over groups.

    Args:
        covariance: (groups, d, d) of x.
        cross: (groups, d, m) of x with t.
        anchor: (groups, d, m), where W goes when the data says nothing.
        strength: λ as a share of the covariance's mean diagonal, > 0.
    """
    d = covariance.shape[-1]
    diagonal = covariance.diagonal(dim1=1, dim2=2).mean(1)
    penalty = (strength * diagonal + 1e-10).reshape(-1, 1, 1)
    system = covariance + penalty * torch.eye(d, dtype=covariance.dtype, device=covariance.device)
    factor, info = torch.linalg.cholesky_ex(system)
    if bool((info != 0).any()):  # rounding made it indefinite: fall back to a solver that does not mind
        return torch.linalg.lstsq(system, cross + penalty * anchor).solution
    return torch.cholesky_solve(cross + penalty * anchor, factor)
