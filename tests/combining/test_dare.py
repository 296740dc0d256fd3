"""DARE."""

from __future__ import annotations

import pytest
import torch

from netsmith.combining import dare
from netsmith.errors import InputError

BASE, MODEL = torch.zeros(200, 500), torch.randn(200, 500, generator=torch.Generator().manual_seed(0))


def test_about_the_share_stays_and_magnitudes_are_kept() -> None:
    out = dare(BASE, [MODEL], density=0.3)
    assert float((out != 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert float(out.abs().sum()) == pytest.approx(float(MODEL.abs().sum()), rel=1e-4)
    plain = dare(BASE, [MODEL], density=0.3, rescale=False)
    assert torch.equal(plain, torch.where(out != 0, MODEL, 0.0))


def test_the_seed_decides_and_models_differ() -> None:
    assert torch.equal(dare(BASE, [MODEL], density=0.5, seed=3), dare(BASE, [MODEL], density=0.5, seed=3))
    assert not torch.equal(dare(BASE, [MODEL], density=0.5, seed=3), dare(BASE, [MODEL], density=0.5, seed=4))
    both = dare(BASE, [MODEL, MODEL], density=0.5, rescale=False)
    assert float((both == 0).float().mean()) == pytest.approx(0.25, abs=0.01)


def test_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    dare(BASE, [MODEL], density=0.5)
    assert torch.equal(torch.rand(3), expected)


def test_density_out_of_range() -> None:
    with pytest.raises(InputError, match="density"):
        dare(BASE, [MODEL], density=-1.0)
