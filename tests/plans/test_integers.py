"""The arithmetic of integers with scales."""

from __future__ import annotations

import pytest
import torch

from netsmith.plans import SetPrecision
from netsmith.plans.integers import bytes_of, integers_of, scales_of, values_of

WEIGHT = torch.randn(6, 8, 3, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("group", [0, 4])
@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 3, 3)])
def test_values_are_within_half_a_step(bits, group: int, shape: tuple[int, ...]) -> None:
    weight = WEIGHT[(...,) if len(shape) == 4 else (..., 0, 0)]
    edit = SetPrecision("w", "conv2d" if len(shape) == 4 else "linear", bits, group)
    found = integers_of(weight, edit)
    assert found.values.dtype == torch.int8 and found.values.shape == weight.shape
    assert found.scale.shape == (6, 2 if group else 1, *[1] * (len(shape) - 2))
    assert int(found.values.min()) >= -(2 ** (bits - 1)) and int(found.values.max()) <= 2 ** (bits - 1) - 1
    steps = found.scale.repeat_interleave(group or 8, 1)
    assert ((values_of(found, weight) - weight).abs() <= steps * 0.5001).all()


def test_zeros_stay_zeros_and_meta_stays_meta() -> None:
    edit = SetPrecision("w", "linear", 8)
    found = integers_of(torch.zeros(2, 3), edit)
    assert not found.values.any() and found.scale.tolist() == [[1.0], [1.0]]
    found = integers_of(torch.empty(2, 3, device="meta"), edit)
    assert found.values.is_meta and found.values.dtype == torch.int8 and found.scale.shape == (2, 1)


def test_clipping_narrows_the_scales() -> None:
    weight = WEIGHT[..., 0, 0].clone()
    weight[0, 0] = 50.0
    scales = {clip: scales_of(weight, SetPrecision("w", "linear", 4, 0, clip))[0, 0] for clip in ("max", "mse")}
    assert scales["mse"] <= scales["max"]


def test_bytes() -> None:
    assert bytes_of((6, 8), SetPrecision("w", "linear", 8)) == 48 + 4 * 6
    assert bytes_of((6, 8), SetPrecision("w", "linear", 4, 4)) == 24 + 4 * 12
