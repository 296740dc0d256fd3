"""Spherical interpolation."""

from __future__ import annotations

import pytest
import torch

from mergekit_values import BASE, MODELS, VALUES
from netsmith.combining import slerp
from netsmith.errors import InputError


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_equals_mergekit(t: float) -> None:
    assert torch.allclose(slerp(BASE, MODELS[0], t), VALUES[f"slerp_{t}"], atol=1e-6)


def test_equals_mergekit_far_apart() -> None:
    assert torch.allclose(slerp(BASE, VALUES["far"], 0.4), VALUES["slerp_far"], atol=1e-6)


def test_keeps_the_norm_between_orthogonal_vectors() -> None:
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    assert torch.allclose(slerp(a, b, 0.5), torch.full((2,), 0.5**0.5))


def test_parallel_and_zero_vectors_are_interpolated_on_a_line() -> None:
    a = torch.tensor([1.0, 2.0])
    assert torch.allclose(slerp(a, 3 * a, 0.5), 2 * a)
    assert torch.allclose(slerp(a, -a, 0.25), 0.5 * a)
    assert torch.equal(slerp(torch.zeros(2), torch.zeros(2), 0.5), torch.zeros(2))


def test_a_t_that_is_no_number() -> None:
    with pytest.raises(InputError, match="finite t"):
        slerp(BASE, BASE, float("inf"))
