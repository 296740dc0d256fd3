"""The contract of a score, and scores that break it."""

from __future__ import annotations

import pytest
import torch

from netsmith.scores import Weights, magnitude
from netsmith.testing import check_score, toy_axis
from netsmith.wiring import Axis


def peak(axis: Axis, weights: Weights) -> torch.Tensor:
    return torch.stack([rows.abs().amax(dim=1) for rows in weights.per_unit(axis)]).sum(0)


def spread(axis: Axis, weights: Weights) -> torch.Tensor:
    """NaN on a bias, which has one element a unit."""
    return torch.stack([rows.std(dim=1) for rows in weights.per_unit(axis)]).sum(0)


def early(axis: Axis, weights: Weights) -> torch.Tensor:
    return magnitude(axis, weights) - torch.arange(axis.size)


def one_layer(axis: Axis, weights: Weights) -> torch.Tensor:
    return next(iter(weights.per_unit(axis)))


def total(axis: Axis, weights: Weights) -> float:
    return float(magnitude(axis, weights).sum())


@pytest.mark.parametrize("units", [1, 2, 6, 10])
def test_right_scores_pass(units: int) -> None:
    check_score(magnitude, units)
    check_score(peak, units)


@pytest.mark.filterwarnings("ignore:std")
@pytest.mark.parametrize(
    ("score", "message"),
    [
        (spread, r"spread returned 6 non-finite values, first for unit 0: nan.* its standard deviation is NaN"),
        (early, r"early: shuffling the units must shuffle the scores the same way\. Unit \d had"),
        (one_layer, r"one_layer returned shape \(6, 12\), expected \(6,\): one number per unit"),
        (total, r"total returned a float, expected a tensor"),
    ],
)
def test_wrong_scores_are_caught(score: object, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_score(score)  # type: ignore[arg-type]


def test_the_toy_axis_has_a_weight_a_bias_and_a_matrix() -> None:
    axis, weights = toy_axis(6)
    assert axis.size == 6 and axis.frozen is None
    assert [tuple(rows.shape) for rows in weights.per_unit(axis)] == [(6, 12), (6, 1), (6, 20)]
    assert sorted(t.dim() for t in weights.tensors.values()) == [1, 2, 4]
