"""Clipping thresholds on histograms."""

from __future__ import annotations

import pytest
import torch

from netsmith.evidence.clipping import CLIPPING, clip_at_max, clip_at_percentile, clip_by_kl, clip_by_mse, histogram


def rows() -> torch.Tensor:
    values = torch.randn(3, 4000, generator=torch.Generator().manual_seed(0))
    values[1, 0] = 40.0  # an outlier
    values[2] = 0.0
    return values


def test_histogram() -> None:
    seen = histogram(torch.tensor([[0.0, 1.0, -2.0, 4.0]]), bins=4)
    assert seen.counts.tolist() == [[1, 1, 1, 1]] and seen.largest.tolist() == [4.0]
    assert seen.centres.tolist() == [[0.5, 1.5, 2.5, 3.5]]


def test_max_clips_nothing() -> None:
    values = rows()
    assert torch.allclose(clip_at_max(histogram(values), 8), values.abs().amax(1))


def test_percentile_cuts_the_outlier() -> None:
    values = rows()
    found = clip_at_percentile(histogram(values), 8, 99.0)
    for row, threshold in zip(values[:2], found[:2], strict=True):
        assert abs(float((row.abs() <= threshold).float().mean()) - 0.99) < 0.012
    assert found[1] < 5


@pytest.mark.parametrize("bits", [8, 4])
def test_mse_is_the_best_of_the_range(bits: int) -> None:
    values = rows()

    def error(threshold: torch.Tensor) -> torch.Tensor:
        scale = (threshold / (2 ** (bits - 1) - 0.5)).clamp_min(1e-9)[:, None]
        rounded = (values / scale).round().clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) * scale
        return (values - rounded).square().mean(1)

    seen = histogram(values)
    found = error(clip_by_mse(seen, bits))
    for share in (1.0, 0.8, 0.6, 0.4, 0.25):
        assert (found[:2] <= error(seen.largest * share)[:2] * 1.02).all()


def test_kl_cuts_an_outlier_and_leaves_a_plain_row_alone() -> None:
    found = clip_by_kl(histogram(rows()), 8)
    assert found[1] < 39 and found[0] > 0.5 * rows()[0].abs().max()


def test_rows_of_zeros_are_no_trouble() -> None:
    for clip in CLIPPING.values():
        assert clip(histogram(rows()), 8)[2] == 0
