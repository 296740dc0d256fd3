"""Least squares towards an output, and towards what a rectifier lets through of it."""

from __future__ import annotations

import math

import torch

from netsmith.recovery import fitting
from netsmith.recovery.fitting import Linear, Sample, fitted


def sample(x: torch.Tensor, t: torch.Tensor, z: torch.Tensor, limits: tuple = ()) -> Sample:
    """x (rows, d), t and z (rows, m), of one group."""
    made = Sample(1, x.shape[1], t.shape[1], limits, 1, torch.device("cpu"))
    made.add(x.unsqueeze(1), t.unsqueeze(1), z.unsqueeze(1))
    return made


def problem() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(500, 6, generator=generator)
    t = x @ torch.randn(6, 3, generator=generator) + torch.randn(500, 3, generator=generator) + 0.5
    return x, t


def zeros() -> Linear:
    return Linear(torch.zeros(1, 6, 3, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64))


def rectified_error(layer: Linear, x: torch.Tensor, z: torch.Tensor) -> float:
    now = x @ layer.weight[0].float() + layer.bias[0].float()
    return float((now.relu() - z.relu()).square().mean(0).sum())


def test_without_a_rectifier_it_is_least_squares() -> None:
    x, t = problem()
    rows = sample(x, t, t)
    best, (before, after) = fitted(rows, rows, zeros(), torch.ones(1, 3), free=True, strength=1e-9, steps=4)
    ones = torch.cat([x, torch.ones(500, 1)], 1)
    expected = torch.linalg.lstsq(ones, t).solution
    assert best is not None and after < before
    assert torch.allclose(best.weight[0].float(), expected[:6], atol=1e-3)
    assert torch.allclose(best.bias[0].float(), expected[6], atol=1e-3)


def test_each_step_comes_nearer_to_the_rectified_target() -> None:
    """By the convex loss that the steps majorize; the rectified error itself is near it, and less than at the start."""
    x, t = problem()
    rows = sample(x, t, t, limits=(0.0, math.inf))
    losses, errors = [], []
    for steps in (0, 1, 3, 9):
        best, (_, judged) = fitted(rows, rows, zeros(), torch.ones(1, 3), free=True, strength=1e-6, steps=steps)
        assert best is not None
        now = x @ best.weight[0].float() + best.bias[0].float()
        losses.append(float(torch.where(t > 0, now - t, now.relu()).square().mean(0).sum()))
        errors.append(rectified_error(best, x, t))
        assert abs(errors[-1] - judged) < 1e-4
    assert losses == sorted(losses, reverse=True) and losses[3] < 0.97 * losses[0]
    assert max(errors[1:]) < 0.99 * errors[0]


def test_a_negative_gain_turns_the_sides_round() -> None:
    """Behind a gain of −2 the rectifier cuts off what was positive."""
    x, t = problem()
    z = -2 * t + 1
    rows = sample(x, t, z, limits=(0.0, math.inf))
    scale = torch.full((1, 3), -2.0)
    plain, _ = fitted(rows, rows, zeros(), scale, free=True, strength=1e-6, steps=0)
    better, _ = fitted(rows, rows, zeros(), scale, free=True, strength=1e-6, steps=9)
    assert plain is not None and better is not None

    def error(layer: Linear) -> float:
        raw = x @ layer.weight[0].float() + layer.bias[0].float()
        return float(((-2 * raw + 1).relu() - z.relu()).square().mean())

    assert error(better) < 0.99 * error(plain)


def test_what_does_not_help_the_judge_is_no_fit() -> None:
    x, t = problem()
    train, judge = sample(x, t, t), sample(x, torch.zeros_like(t), torch.zeros_like(t))
    best, (before, after) = fitted(train, judge, zeros(), torch.ones(1, 3), free=True, strength=1e-6, steps=0)
    assert best is None and before == 0 < after


def test_memory_of_rows_is_bounded() -> None:
    made = Sample(1, 2**20, 1, (0.0, 1.0), 16, torch.device("meta"))
    assert made._most * 2**20 * 16 <= fitting._MOST_NUMBERS


def test_a_ceiling_cuts_off_above_too() -> None:
    """As relu6 does: beyond it any value beyond it will do."""
    x, t = problem()
    rows = sample(x, t, t, limits=(0.0, 1.0))
    plain, _ = fitted(rows, rows, zeros(), torch.ones(1, 3), free=True, strength=1e-6, steps=0)
    better, (_, judged) = fitted(rows, rows, zeros(), torch.ones(1, 3), free=True, strength=1e-6, steps=9)
    assert plain is not None and better is not None

    def error(layer: Linear) -> float:
        now = x @ layer.weight[0].float() + layer.bias[0].float()
        return float((now.clamp(0, 1) - t.clamp(0, 1)).square().mean(0).sum())

    assert error(better) < 0.95 * error(plain)
    assert abs(error(better) - judged) < 1e-4
