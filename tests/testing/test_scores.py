"""The contract of a score, and scores that break it."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from netsmith.errors import InputError
from netsmith.evidence import Activations
from netsmith.scores import Weights, magnitude
from netsmith.scores.named import OURS
from netsmith.testing import check_score, toy, toy_axis
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


@pytest.mark.parametrize("units", [1, 2, 6, 10])
@pytest.mark.parametrize("name", OURS)
def test_our_own_scores_pass(name: str, units: int) -> None:
    check_score(OURS[name], units)


def test_options_may_be_bound() -> None:
    check_score(partial(magnitude, p=1))
    check_score(partial(OURS["random"], seed=3))
    check_score(partial(OURS["reconstruction"], strength=0.1))


def by_position(axis: Axis, weights: Weights, *, activations: Activations) -> torch.Tensor:
    """Reads the inputs of the layer behind as if each unit had one column."""
    return activations.layers["fc.weight"].square[0, : axis.size]


def wrong_way_round(axis: Axis, weights: Weights, *, gradients: list[Weights]) -> torch.Tensor:
    """Weights and gradients of different units."""
    (first, *_) = zip(weights.per_unit(axis), gradients[0].per_unit(axis), strict=True)
    return (first[0] * first[1].flip(0)).sum(1)


@pytest.mark.parametrize("score", [by_position, wrong_way_round])
def test_wrong_use_of_evidence_is_caught(score: object) -> None:
    with pytest.raises(AssertionError, match=f"{score.__name__}: shuffling the units must shuffle the scores"):  # type: ignore[attr-defined]
        check_score(score)  # type: ignore[arg-type]


def test_a_score_that_wants_what_the_toy_has_not() -> None:
    def wise(axis: Axis, weights: Weights, *, labels: torch.Tensor) -> torch.Tensor:
        return magnitude(axis, weights)

    with pytest.raises(
        InputError, match=r"score wise wants labels, which nothing here gathers .*partial\(score, labels="
    ):
        check_score(wise)
    check_score(partial(wise, labels=torch.ones(3)))


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


def test_the_toy_axis_has_a_weight_a_bias_a_normalization_and_a_matrix() -> None:
    axis, weights = toy_axis(6)
    assert axis.size == 6 and axis.frozen is None
    assert [tuple(rows.shape) for rows in weights.per_unit(axis)] == [(6, 12), (6, 1), (6, 1), (6, 1), (6, 20)]
    assert sorted(t.dim() for t in weights.tensors.values()) == [1, 1, 1, 2, 4]


def test_the_toy_is_always_the_same_and_draws_nothing() -> None:
    state = torch.get_rng_state()
    one, two = toy(), toy()
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(t, two.weights.tensors[name]) for name, t in one.weights.tensors.items())


def test_a_shuffled_toy_is_the_same_network() -> None:
    """Its outputs, for inputs shuffled like its Gram matrix; and back again it is the toy."""
    made, order = toy(4), [2, 0, 3, 1]
    moved = made.permuted(order)
    weight = made.weights.tensors["fc.weight"], moved.weights.tensors["fc.weight"]
    inputs = [each.evidence["activations"].layers["fc.weight"] for each in (made, moved)]
    power = [w @ i.gram[0] @ w.T for w, i in zip(weight, inputs, strict=True)]
    assert torch.allclose(*power, rtol=1e-4)
    back = moved.permuted([order.index(u) for u in range(4)])
    assert torch.equal(back.weights.tensors["fc.weight"], weight[0])
    assert torch.equal(
        back.evidence["gradients"][1].tensors["conv.bias"], made.evidence["gradients"][1].tensors["conv.bias"]
    )
