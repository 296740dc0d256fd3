"""Matching: the most alike units become one, within and across members, until as many are left as wanted."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netsmith.combining.unit_matching import match_units
from netsmith.errors import InputError


def likeness(units: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.corrcoef(torch.randn(units, 12, generator=generator))


def slowly(similarity: torch.Tensor, count: int, members: int, within: float, again: float) -> list[int]:
    """The same by looking at every pair each time."""
    size = len(similarity)
    groups = {i: [i] for i in range(size)}
    alike = {(i, j): float(similarity[i, j]) for i in range(size) for j in range(i)}
    budget = round(within * (size - count))

    def same(i: int, j: int) -> bool:
        return len({u // (size // members) for u in groups[i] + groups[j]}) == 1

    while len(groups) > count:
        allowed = [pair for pair in alike if budget > 0 or not same(*pair)] or list(alike)
        i, j = sorted(max(allowed, key=lambda pair: alike[pair]))
        budget -= same(i, j)
        groups[i] += groups.pop(j)
        old = {k: min(alike[max(i, k), min(i, k)], alike[max(j, k), min(j, k)]) for k in groups if k != i}
        alike = {pair: value for pair, value in alike.items() if not {i, j} & set(pair)}
        for k, value in old.items():
            alike[max(i, k), min(i, k)] = value * (again if value > 0 else 2 - again)
    numbers = sorted(min(each) for each in groups.values())
    return [numbers.index(min(next(each for each in groups.values() if u in each))) for u in range(size)]


@settings(max_examples=40, deadline=None)
@given(
    own=st.integers(1, 7),
    members=st.integers(1, 3),
    share=st.floats(0, 1),
    within=st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    again=st.sampled_from([0.01, 0.3, 1.0]),
    seed=st.integers(0, 50),
)
def test_as_by_looking_at_every_pair(
    own: int, members: int, share: float, within: float, again: float, seed: int
) -> None:
    similarity = likeness(own * members, seed) if own * members > 1 else torch.ones(1, 1)
    count = max(1, round(share * own * members))
    found = match_units(similarity, count, members, within=within, again=again)
    assert sorted(set(found.tolist())) == list(range(count))
    assert found.tolist() == slowly(similarity.double(), count, members, within, again)


def test_a_shuffled_copy_is_found_across() -> None:
    rows = torch.randn(6, 40, generator=torch.Generator().manual_seed(0))
    order = [3, 1, 5, 0, 2, 4]
    found = match_units(torch.corrcoef(torch.cat([rows, rows[order]])), 6, 2)
    assert found[6:].tolist() == [int(found[unit]) for unit in order]


def test_what_a_network_says_twice_is_merged_within() -> None:
    rows = torch.randn(4, 40, generator=torch.Generator().manual_seed(0))
    similarity = torch.corrcoef(torch.cat([rows[[0, 0]], rows[[1, 2]]]))
    assert match_units(similarity, 3, 2).tolist() == [0, 0, 1, 2]
    assert match_units(similarity, 3, 2, within=0)[:2].tolist() == [0, 1]


@pytest.mark.parametrize("wrong", [{"count": 0}, {"count": 7}, {"members": 4}, {"within": 1.5}, {"again": 0.0}])
def test_bad_input(wrong: dict[str, float]) -> None:
    arguments = {"count": 3, "members": 2, **wrong}
    with pytest.raises(InputError, match="members must divide the units"):
        match_units(likeness(6, 0), **arguments)  # type: ignore[arg-type]
