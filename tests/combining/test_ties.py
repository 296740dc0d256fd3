"""TIES."""

from __future__ import annotations

import pytest
import torch

from mergekit_values import BASE, MODELS, VALUES, WEIGHTS
from netsmith.combining import ties
from netsmith.errors import InputError

DENSITIES = [0.3, 0.5, 0.9]


def test_equals_mergekit() -> None:
    assert torch.allclose(ties(BASE, MODELS, WEIGHTS, density=DENSITIES), VALUES["ties"], atol=1e-6)
    out = ties(BASE, MODELS, WEIGHTS, density=DENSITIES, rescale=True, normalize=False, scale=1.3)
    assert torch.allclose(out, VALUES["ties_rescaled"], atol=1e-6)


def test_small_differences_go_and_the_majority_decides() -> None:
    base = torch.zeros(4)
    a, b = torch.tensor([4.0, 0.1, -3.0, 1.0]), torch.tensor([2.0, 0.2, 2.0, 0.1])
    assert torch.allclose(ties(base, [a, b], density=0.5), torch.tensor([3.0, 0.0, -3.0, 0.0]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_exactly_the_share_stays_also_among_equals(dtype: torch.dtype) -> None:
    model = torch.tensor([1.0, -1.0, 1.0, 1.0, 2.0], dtype=dtype)
    out = ties(torch.zeros(5, dtype=dtype), [model], density=0.6)
    assert out.tolist() == [1.0, -1.0, 0.0, 0.0, 2.0]  # of the equal ones the first


def test_density_zero_leaves_the_base() -> None:
    assert torch.equal(ties(BASE, MODELS, density=0.0), BASE)


def test_says_what_is_wrong() -> None:
    with pytest.raises(InputError, match="from 0 to 1, not 1.5"):
        ties(BASE, MODELS, density=1.5)
    with pytest.raises(InputError, match="density: there are 3 models, but 2 numbers"):
        ties(BASE, MODELS, density=[0.5, 0.5])
