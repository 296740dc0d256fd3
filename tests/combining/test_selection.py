"""Exact selection by magnitude, against a stable sort."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netsmith.combining.selection import Smallest, magnitude_bits

DTYPES = [torch.bfloat16, torch.float16, torch.float32, torch.float64]


def chosen(x: torch.Tensor, count: int, first_is_smaller: bool, step: int) -> torch.Tensor:
    smallest = Smallest(x.dtype, count, first_is_smaller=first_is_smaller)
    for _ in range(smallest.passes):
        for part in x.split(step):
            smallest.survey(magnitude_bits(part))
        smallest.next_pass()
    return torch.cat([smallest.mask(magnitude_bits(part)) for part in x.split(step)])


@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(
        st.sampled_from([0.0, -0.0, 1.0, -1.0, 1.5, 3e-5, -7.25, 1e4, float("inf")]), min_size=1, max_size=40
    ),
    dtype=st.sampled_from(DTYPES),
    first=st.booleans(),
    step=st.integers(1, 15),
    share=st.floats(0, 1),
)
def test_equals_a_stable_sort(values: list[float], dtype: torch.dtype, first: bool, step: int, share: float) -> None:
    x = torch.tensor(values, dtype=dtype)
    count = round(share * len(x))
    got = chosen(x, count, first, step)
    if first:
        order = x.double().abs().argsort(stable=True)[:count]
    else:
        order = x.double().abs().argsort(stable=True, descending=True)[len(x) - count :]
    expected = torch.zeros(len(x), dtype=torch.bool)
    expected[order] = True
    assert torch.equal(got, expected)


def test_many_random_values() -> None:
    for dtype in DTYPES:
        x = torch.randn(10_000, generator=torch.Generator().manual_seed(0)).to(dtype)
        got = chosen(x, 4321, True, 777)
        assert int(got.sum()) == 4321
        assert float(x[got].double().abs().max()) <= float(x[~got].double().abs().min())
