"""Column by column, with compensation."""

from __future__ import annotations

import torch

from netsmith.recovery.sweeping import inverse_factor, output_error, swept

G = torch.Generator().manual_seed(0)
X = torch.randn(500, 1, generator=G) + 0.5 * torch.randn(500, 12, generator=G)
GRAM = X.T @ X / 500
WEIGHT = torch.randn(5, 12, generator=G)


def test_the_factor_is_that_of_the_inverse() -> None:
    upper = inverse_factor(GRAM, 1e-6)
    assert torch.allclose(upper.T @ upper @ GRAM.double(), torch.eye(12).double(), atol=1e-3)


def test_a_singular_matrix_is_damped() -> None:
    assert inverse_factor(torch.ones(4, 4), 1e-12).isfinite().all()
    assert inverse_factor(torch.zeros(4, 4), 0.01).isfinite().all()


def test_dropping_the_first_columns_equals_the_least_squares_solution() -> None:
    done = swept(WEIGHT, inverse_factor(GRAM, 1e-9), lambda start, values, d: lambda i, c: c if i > 2 else c * 0)
    rest = GRAM.double()[3:, 3:]
    exact = torch.linalg.solve(rest, GRAM.double()[3:] @ WEIGHT.double().T).T
    assert not done[:, :3].any() and torch.allclose(done[:, 3:], exact, atol=1e-4)


def test_blocks_do_not_matter() -> None:
    def rounding(start: int, values: torch.Tensor, diagonal: torch.Tensor):
        return lambda i, column: column.round()

    factor = inverse_factor(GRAM, 0.01)
    one, many = swept(WEIGHT, factor, rounding, block=1), swept(WEIGHT, factor, rounding)
    assert one.equal(many)
    assert output_error(many - WEIGHT, WEIGHT, GRAM) < output_error(WEIGHT.round() - WEIGHT, WEIGHT, GRAM)
