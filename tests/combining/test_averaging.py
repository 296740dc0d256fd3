"""Averages of tensors."""

from __future__ import annotations

import pytest
import torch

from netsmith.combining import average
from netsmith.errors import InputError


def test_is_the_weighted_mean() -> None:
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 6.0])
    assert torch.equal(average([a, b]), torch.tensor([2.0, 4.0]))
    assert torch.allclose(average([a, b], [3.0, 1.0]), torch.tensor([1.5, 3.0]))
    assert torch.allclose(average([a, b], [3.0, 1.0], normalize=False), torch.tensor([6.0, 12.0]))


def test_a_negative_weight_goes_beyond_as_in_mergekit() -> None:
    assert torch.equal(average([torch.tensor([3.0]), torch.tensor([1.0])], [2.0, -1.0]), torch.tensor([5.0]))


def test_computes_in_float32_and_keeps_the_dtype_and_the_inputs() -> None:
    a = torch.full((3,), 1.0, dtype=torch.bfloat16)
    b = torch.full((3,), 1.0 + 2**-7, dtype=torch.bfloat16)
    before = a.clone()
    assert average([a, b, b]).dtype == torch.bfloat16
    assert torch.equal(average([a, b, b]), b)  # 1 + 2/3 of a step rounds up; in bfloat16 the sum would be lost
    assert torch.equal(a, before)


def test_longer_than_a_chunk() -> None:
    a, b = torch.randn(600, 1000), torch.randn(600, 1000)
    assert torch.allclose(average([a, b], [0.25, 0.75]), 0.25 * a + 0.75 * b, atol=1e-6)


@pytest.mark.parametrize(
    ("tensors", "weights", "message"),
    [
        ([], None, "nothing to merge"),
        ([torch.ones(2), torch.ones(3)], None, "one shape"),
        ([torch.ones(2, dtype=torch.int64)], None, "floating point"),
        ([torch.ones(2), torch.ones(2)], [1.0], "2 models to weigh, but 1 weights"),
        ([torch.ones(2), torch.ones(2)], [1.0, -1.0], "sum to zero"),
        ([torch.ones(2), torch.ones(2)], [1.0, float("nan")], "finite"),
    ],
)
def test_says_what_is_wrong(tensors: list[torch.Tensor], weights: list[float] | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        average(tensors, weights)
