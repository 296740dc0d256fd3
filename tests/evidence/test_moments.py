"""Running moments and the ridge fit, against numpy's and scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from netsmith.evidence import Moments, ridge


def rows(n: int = 200, groups: int = 2, d: int = 5, m: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=generator)
    x = torch.randn(n, groups, d, generator=generator) @ mix + torch.randn(d, generator=generator)
    t = x @ torch.randn(d, m, generator=generator) + 0.3 * torch.randn(n, groups, m, generator=generator) + 2
    return x, t


def moments(x: torch.Tensor, t: torch.Tensor, parts: int = 3) -> Moments:
    made = Moments(x.shape[1], x.shape[2], t.shape[2])
    for a, b in zip(x.chunk(parts), t.chunk(parts), strict=True):
        made.add(a, b)
    return made


def test_covariances_in_parts() -> None:
    x, t = rows()
    made = moments(x, t)
    covariance, cross = made.centred()
    assert made.rows == 200
    for g in range(2):
        both = np.cov(x[:, g].T.numpy(), t[:, g].T.numpy(), bias=True)
        assert covariance[g].numpy() == pytest.approx(both[:5, :5], abs=1e-3)
        assert cross[g].numpy() == pytest.approx(both[:5, 5:], abs=1e-3)
        plain, plain_cross = made.plain()
        assert plain[g].numpy() == pytest.approx((x[:, g].T @ x[:, g] / 200).numpy(), rel=1e-4, abs=1e-4)
        assert plain_cross[g].numpy() == pytest.approx((x[:, g].T @ t[:, g] / 200).numpy(), rel=1e-4, abs=1e-4)


def test_errors_are_mean_squares_of_the_residuals() -> None:
    x, t = rows()
    weight, bias = torch.randn(2, 5, 3).double(), torch.randn(2, 3).double()
    residual = torch.einsum("ngd,gdm->ngm", x.double(), weight) + bias - t
    assert torch.allclose(moments(x, t).errors(weight, bias), residual.square().mean(0), rtol=1e-4)


def test_without_a_penalty_it_is_least_squares() -> None:
    x, t = rows()
    covariance, cross = moments(x, t).plain()
    fitted = ridge(covariance, cross, torch.zeros(2, 5, 3).double(), 1e-12)
    expected = torch.linalg.lstsq(x.transpose(0, 1), t.transpose(0, 1)).solution
    assert torch.allclose(fitted.float(), expected, atol=2e-3)


@pytest.mark.parametrize("strength", [1e-3, 0.1, 3.0])
def test_towards_zero_it_is_scikit_learns_ridge(strength: float) -> None:
    x, t = rows()
    covariance, cross = moments(x, t).centred()
    fitted = ridge(covariance, cross, torch.zeros(2, 5, 3).double(), strength)
    for g in range(2):
        alpha = 200 * (strength * float(covariance[g].diagonal().mean()) + 1e-10)
        expected = Ridge(alpha=alpha).fit(x[:, g].double().numpy(), t[:, g].double().numpy()).coef_.T
        assert fitted[g].numpy() == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_the_anchor_is_where_the_penalty_pulls() -> None:
    x, t = rows()
    covariance, cross = moments(x, t).centred()
    anchor = torch.randn(2, 5, 3).double()
    assert torch.allclose(ridge(covariance, cross, anchor, 1e9), anchor, atol=1e-6)
    # fitting the rest from zero is the same thing
    shifted = ridge(covariance, cross - covariance @ anchor, torch.zeros_like(anchor), 0.1) + anchor
    assert torch.allclose(ridge(covariance, cross, anchor, 0.1), shifted)


def test_inputs_that_are_always_zero_leave_the_anchor() -> None:
    x, t = rows()
    x[:, :, 2] = 0
    covariance, cross = moments(x, t).centred()
    anchor = torch.randn(2, 5, 3).double()
    assert torch.allclose(ridge(covariance, cross, anchor, 1e-3)[:, 2], anchor[:, 2])
    nothing = torch.zeros_like(covariance)
    assert torch.allclose(ridge(nothing, torch.zeros_like(cross), anchor, 1e-3), anchor)


def test_equal_inputs_share_the_weight() -> None:
    x, t = rows()
    x[:, :, 1] = x[:, :, 0]
    covariance, cross = moments(x, t).centred()
    fitted = ridge(covariance, cross, torch.zeros(2, 5, 3).double(), 1e-2)
    assert torch.allclose(fitted[:, 0], fitted[:, 1], atol=1e-3)


def test_rounding_that_makes_it_indefinite() -> None:
    covariance = torch.diag(torch.tensor([1.0, 1.0, -1e-3])).double()[None]
    fitted = ridge(covariance, torch.ones(1, 3, 1).double(), torch.zeros(1, 3, 1).double(), 1e-6)
    assert torch.isfinite(fitted).all() and fitted[0, :2, 0].tolist() == pytest.approx([1, 1], rel=1e-4)


def test_half_precision_rows_are_summed_in_double() -> None:
    made = Moments(1, 1, 1)
    made.add(torch.full((1000, 1, 1), 200.0).half(), torch.ones(1000, 1, 1).half())
    assert made.xx.dtype == torch.float64 and float(made.xx) == 1000 * 200.0**2
