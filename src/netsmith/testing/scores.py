"""The contract of a score: one finite number a unit, whatever the order of the units."""

from __future__ import annotations

import torch

from ..scores import Score, Weights
from ..wiring import Axis, Member


def toy_axis(units: int = 6) -> tuple[Axis, Weights]:
    """An axis that runs through a convolution's weight (4-D), its bias, and a matrix behind a flatten, with weights.

    Args:
        units: size of the axis, ≥ 1.
    """
    sizes = {"conv.weight:0": units}
    (name,) = sizes

    def member(tensor: str, dim: int, role: str, *inner: int) -> Member:
        return Member(tensor, dim, role, True, (name, *inner), sizes, name)

    members = (
        member("conv.weight", 0, "producer"),
        member("conv.bias", 0, "producer"),
        member("fc.weight", 1, "consumer", 4),  # each channel has four positions
    )
    generator = torch.Generator().manual_seed(0)
    shapes = {"conv.weight": (units, 3, 2, 2), "conv.bias": (units,), "fc.weight": (5, units * 4)}
    return Axis(name, units, None, members), Weights(
        {n: torch.randn(s, generator=generator) for n, s in shapes.items()}
    )


def _permuted(weights: Weights, axis: Axis, order: list[int]) -> Weights:
    """The same network with the units of the axis in another order."""
    tensors = dict(weights.tensors)
    for member in axis.members:
        positions = [p for unit in order for p in member.positions[unit]]
        tensors[member.tensor] = tensors[member.tensor].index_select(member.dim, torch.tensor(positions))
    return Weights(tensors)


def check_score(score: Score, units: int = 6) -> None:
    """Hold a score to its contract on a toy axis with a 4-D weight, a bias and a matrix.

    * it gives a tensor of shape (units,);
    * every value is finite;
    * shuffling the units shuffles the scores the same way.

    Args:
        score: ``(axis, weights) -> (axis.size,)``; give data and options with ``functools.partial``.
        units: size of the toy axis.

    Raises:
        AssertionError: says which of them does not hold, and where.

    Example:
        >>> from netsmith.scores import magnitude
        >>> check_score(magnitude)
    """
    name = getattr(score, "__name__", type(score).__name__)
    axis, weights = toy_axis(units)
    order = [units - 1, *range(units - 1)]
    scores, moved = score(axis, weights), score(axis, _permuted(weights, axis, order))
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
