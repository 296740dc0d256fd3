"""Which units of networks that lie side by side become one: the most alike first, within and across the members."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError


def match_units(similarity: Tensor, count: int, members: int, *, within: float = 1.0, again: float = 0.3) -> Tensor:
    """Clusters of units: again and again the two that are most alike become one, until ``count`` are left.

    Two clusters are as alike as their least similar units, times ``again`` for each time that one of them was merged
    before; so most clusters are pairs, unless a network has units that say the same several times.

    Args:
        similarity: (n, n), symmetric, in -1..1, e.g. correlations; unit i belongs to member i // (n / members).
        count: clusters in the end, 1..n.
        members: how many networks, a divisor of n.
        within: share of the merges that may join units of one member, in 0..1. With 0 those of one member are merged
            only where nothing else is left.
        again: in (0, 1].

    Returns:
        (n,) integers: the cluster of each unit, 0..count-1, numbered by their first units.

    Raises:
        InputError: an argument out of range.

    Source: Stoica et al., "ZipIt!", ICLR 2024, arXiv:2305.03053 (greedy matching; ``within`` is its budget β, ``again``
        its α).
    """
    size = len(similarity)
    if not 1 <= count <= size or size % max(members, 1) or not 0 <= within <= 1 or not 0 < again <= 1:
        raise InputError(
            f"match_units: {size} units of {members} members to {count}, within={within}, again={again}; members must "
            "divide the units, count lie in 1..units, within in 0..1 and again in (0, 1]"
        )
    alike = similarity.double().clone()
    alike.fill_diagonal_(-torch.inf)
    owner = torch.arange(size) // (size // members)
    same = owner[:, None] == owner[None, :]  # of clusters: all units of one member
    budget = round(within * (size - count))
    cluster = torch.arange(size)
    value, partner = _best(alike, same, budget)
    for _ in range(size - count):
        i = int(value.argmax())
        if not bool(value[i] > -torch.inf):  # only pairs inside one member are left, and their budget is spent
            budget = size
            value, partner = _best(alike, same, budget)
            i = int(value.argmax())
        i, j = sorted((i, int(partner[i])))
        budget -= int(same[i, j])
        cluster[cluster == j] = i
        merged = torch.minimum(alike[i], alike[j])
        merged = torch.where(merged > 0, merged * again, merged * (2 - again))
        mixed = same[i] & same[j]
        for index, row, flags in ((i, merged, mixed), (j, torch.full_like(merged, -torch.inf), mixed)):
            alike[index], alike[:, index] = row, row
            same[index], same[:, index] = flags, flags
        alike[i, i] = -torch.inf
        # likeness only ever falls, so a row's best changes only where it was one of the two, or the budget ran out
        stale = (partner == i) | (partner == j)
        stale[i] = stale[j] = True
        if budget == 0:
            stale[:] = True
            budget = -1
        rows = stale.nonzero()[:, 0]
        value[rows], partner[rows] = _best(alike[rows], same[rows], budget)
    first, numbered = torch.unique(cluster, return_inverse=True)
    assert len(first) == count
    return numbered


def _best(alike: Tensor, same: Tensor, budget: int) -> tuple[Tensor, Tensor]:
    """Of each row the largest likeness that may be merged, and with whom."""
    allowed = alike if budget > 0 else alike.masked_fill(same, -torch.inf)
    value, partner = allowed.max(1)
    return value, partner
