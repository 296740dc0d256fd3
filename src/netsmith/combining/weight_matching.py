"""Finds the order of units in which two models' weights are closest, axis by axis, until nothing moves."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..surgery.permute import moved_positions
from ..wiring import Wiring
from ..wiring.layouts import unit_positions

Orders = dict[str, list[int]]
_GAIN = 1e-6  # relative: less is rounding


@dataclass(frozen=True)
class Matched:
    """Orders, and how near they bring the weights.

    Attributes:
        orders: axis -> unit of the second model for each of the first's.
        before, after: Σ of products of the weights on these axes.
        rounds: passes over all axes.
    """

    orders: Orders
    before: float
    after: float
    rounds: int


def match_weights(
    wiring: Wiring,
    ours: Mapping[str, Tensor],
    theirs: Mapping[str, Tensor],
    axes: Sequence[str],
    *,
    start: Mapping[str, Sequence[int]] | None = None,
    seed: int = 0,
    most_rounds: int = 100,
) -> Matched:
    """Maximise Σ ⟨ours, reordered theirs⟩ over one axis at a time: a linear assignment each.

    Axes are coupled: a weight lies on those of its inputs and of its outputs. All others are held while one is solved;
    a new order is taken only if the sum grows, so this ends.

    Args:
        wiring: of both models.
        ours, theirs: tensors by name.
        axes: names of those that may be reordered.
        start: orders to begin with; None: as they are.
        seed: of the order in which axes are visited.
        most_rounds: passes over all axes, ≥ 1.

    Source: Ainsworth et al., "Git Re-Basin", ICLR 2023, arXiv:2209.04836, algorithm 1.
    """
    from scipy.optimize import linear_sum_assignment

    orders: Orders = {name: list((start or {}).get(name, range(wiring.axis[name].size))) for name in axes}
    tensors = sorted({m.tensor for name in axes for m in wiring.axis[name].members if m.trainable})
    moved = {name: _moved(wiring, name, theirs[name], orders) for name in tensors}
    identity = {name: float((ours[name].float() * theirs[name].float()).sum()) for name in tensors}
    now = {name: float((ours[name].float() * moved[name].float()).sum()) for name in tensors}
    units = {name: _places(wiring, name) for name in axes}
    rng, rounds = random.Random(seed), 0
    for _ in range(most_rounds):
        rounds += 1
        improved = False
        for axis in rng.sample(list(axes), len(axes)):
            similarity = sum(
                _rows(ours[tensor], dim, places) @ _rows(moved[tensor], dim, places).T
                for tensor, dim, places in units[axis]
            )
            if isinstance(similarity, int):
                continue
            _, chosen = linear_sum_assignment(similarity.numpy(), maximize=True)
            if (chosen == range(len(chosen))).all():
                continue
            candidate = {**orders, axis: [orders[axis][i] for i in chosen]}
            touched = {tensor for tensor, _, _ in units[axis]}
            trial = {name: _moved(wiring, name, theirs[name], candidate) for name in touched}
            sums = {name: float((ours[name].float() * trial[name].float()).sum()) for name in touched}
            gain = sum(sums.values()) - sum(now[name] for name in touched)
            if gain > _GAIN * sum(abs(now[name]) for name in touched):
                orders, improved = candidate, True
                moved |= trial
                now |= sums
        if not improved:
            break
    return Matched(orders, sum(identity.values()), sum(now.values()), rounds)


def _moved(wiring: Wiring, name: str, tensor: Tensor, orders: Mapping[str, Sequence[int]]) -> Tensor:
    for dim, positions in moved_positions(wiring, name, orders).items():
        tensor = tensor.index_select(dim, torch.tensor(positions, device=tensor.device))
    return tensor


def _places(wiring: Wiring, axis: str) -> list[tuple[str, int, Tensor]]:
    """(tensor, dimension, (units, positions each)) of every parameter that the axis lies in."""
    found = []
    for member in wiring.axis[axis].members:
        if member.trainable:
            positions = unit_positions(member.layout, wiring.sizes, axis)
            if positions and len({len(p) for p in positions}) == 1:
                found.append((member.tensor, member.dim, torch.tensor(positions)))
    return found


def _rows(tensor: Tensor, dim: int, places: Tensor) -> Tensor:
    """(units, everything that belongs to one) of a tensor."""
    count, each = places.shape
    chosen = tensor.detach().float().cpu().movedim(dim, 0).index_select(0, places.reshape(-1))
    return chosen.reshape(count, -1) if each else chosen.new_zeros(count, 0)
