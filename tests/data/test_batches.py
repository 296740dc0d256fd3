"""Data set -> batches."""

from __future__ import annotations

import pytest
import torch

from netsmith.data import Examples, batches
from netsmith.errors import InputError


def numbers(count: int) -> Examples:
    return Examples(torch.arange(count).float(), torch.arange(count))


def order(loader) -> list[int]:
    return [int(v) for _, y in loader for v in y]


def test_in_order_with_a_smaller_last_batch() -> None:
    loader = batches(numbers(10), 4)
    assert [len(y) for _, y in loader] == [4, 4, 2]
    assert order(loader) == list(range(10))


def test_shuffling_repeats_with_the_seed_and_changes_from_pass_to_pass() -> None:
    one, other = batches(numbers(20), 4, shuffle=True, seed=5), batches(numbers(20), 4, shuffle=True, seed=5)
    first, second = order(one), order(one)
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second
    assert [order(other), order(other)] == [first, second]
    assert order(batches(numbers(20), 4, shuffle=True, seed=6)) != first


def test_shuffling_does_not_touch_the_global_random_state() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    order(batches(numbers(20), 4, shuffle=True, seed=5))
    assert torch.equal(torch.get_rng_state(), before)


def test_bad_input() -> None:
    with pytest.raises(InputError, match="batch_size must be at least 1, not 0"):
        batches(numbers(3), 0)
    with pytest.raises(InputError, match="the data set is empty"):
        batches(numbers(0), 4)
