"""The contract of a score: one finite number a unit, whatever the order of the units."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..evidence import Weights
from ..scores.gathering import evidence_wanted, score_name
from ..wiring import Axis
from .toys import Toy, toy


def toy_axis(units: int = 6) -> tuple[Axis, Weights]:
    """The axis and the weights of ``toy(units)``: through a convolution's weight (4-D) and bias, the scale and shift of
    a normalization, and a matrix behind a flatten.

    Args:
        units: size of the axis, ≥ 1.
    """
    made = toy(units)
    return made.axis, made.weights


def check_score(score: Callable[..., torch.Tensor], units: int = 6) -> None:
    """Hold a score to its contract on a toy axis with a 4-D weight, a bias, a normalization and a matrix.

    * it gives a tensor of shape (units,);
    * every value is finite;
    * shuffling the units shuffles the scores the same way.

    Args:
        score: ``(axis, weights) -> (axis.size,)``. Options may be bound with ``functools.partial``. Evidence must not
            be: a score that asks for ``activations``, ``gradients`` or ``wiring`` gets the toy's, shuffled along.
        units: size of the toy axis.

    Raises:
        AssertionError: says which of them does not hold, and where.
        InputError: the score asks for something that the toy does not have.

    Example:
        >>> from netsmith.scores import magnitude, taylor
        >>> check_score(magnitude)
        >>> check_score(taylor)
    """
    name = score_name(score)
    wanted = evidence_wanted(score)

    def scored(each: Toy) -> torch.Tensor:
        return score(each.axis, each.weights, **{key: each.evidence[key] for key in wanted})

    made = toy(units)
    order = [units - 1, *range(units - 1)]
    scores, moved = scored(made), scored(made.permuted(order))
    if not isinstance(scores, torch.Tensor):
        raise AssertionError(f"{name} returned a {type(scores).__name__}, expected a tensor of shape ({units},)")
    if tuple(scores.shape) != (units,):
        raise AssertionError(
            f"{name} returned shape {tuple(scores.shape)}, expected ({units},): one number per unit. "
            "weights.per_unit(axis) yields (units, elements); reduce dimension 1"
        )
    if not bool(scores.isfinite().all()):
        bad = (~scores.isfinite()).nonzero().flatten().tolist()
        raise AssertionError(
            f"{name} returned {len(bad)} non-finite values, first for unit {bad[0]}: {float(scores[bad[0]])}. "
            "A bias has one element a unit, so its standard deviation is NaN"
        )
    wrong = (~torch.isclose(moved, scores[order])).nonzero().flatten().tolist()
    if wrong:
        unit = order[wrong[0]]
        raise AssertionError(
            f"{name}: shuffling the units must shuffle the scores the same way. Unit {unit} had "
            f"{float(scores[unit]):.6g}, and as unit {wrong[0]} of the shuffled network {float(moved[wrong[0]]):.6g}"
        )
