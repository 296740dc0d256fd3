"""DELLA."""

from __future__ import annotations

import pytest
import torch

from netsmith.combining import della
from netsmith.errors import InputError

BASE, MODEL = torch.zeros(400, 300), torch.randn(400, 300, generator=torch.Generator().manual_seed(0))


def test_large_differences_of_a_row_stay_more_often() -> None:
    out = della(BASE, [MODEL], density=0.5, epsilon=0.4, rescale=False)
    kept = (out != 0).float()
    order = MODEL.abs().argsort(dim=1)
    by_rank = kept.gather(1, order)
    assert float(kept.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(by_rank[:, :30].mean()) == pytest.approx(0.14, abs=0.02)  # density - epsilon + a twentieth of the way
    assert float(by_rank[:, -30:].mean()) == pytest.approx(0.86, abs=0.02)
    assert torch.equal(out[kept.bool()], MODEL[kept.bool()])


def test_rows_longer_than_a_chunk() -> None:
    long = torch.randn(2, 300_000)
    out = della(torch.zeros_like(long), [long], density=0.5, epsilon=0.1, rescale=False)
    assert float((out != 0).float().mean()) == pytest.approx(0.5, abs=0.01)


def test_epsilon_out_of_range() -> None:
    with pytest.raises(InputError, match="epsilon=0.5"):
        della(BASE, [MODEL], density=0.5, epsilon=0.5)
