"""Temperatures and calibration error, against what they must be by construction."""

from __future__ import annotations

import pytest
import torch

from netsmith.combining.ensembles import calibration_error, temperature


def test_the_temperature_that_the_labels_were_drawn_with() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = 3 * torch.randn(20_000, 5, generator=generator)
    labels = torch.multinomial((scores / 2.5).softmax(1), 1, generator=generator).squeeze(1)
    assert temperature(scores, labels) == pytest.approx(2.5, rel=0.03)


def test_it_is_the_minimum() -> None:
    generator = torch.Generator().manual_seed(1)
    scores, labels = torch.randn(500, 4, generator=generator), torch.randint(4, (500,), generator=generator)
    scores[range(500), labels] += 1
    best = temperature(scores, labels)

    def loss(t: float) -> float:
        return float(torch.nn.functional.cross_entropy(scores.double() / t, labels))

    assert loss(best) <= min(loss(0.99 * best), loss(1.01 * best))


def test_always_right_or_useless_stays_finite() -> None:
    scores, labels = torch.eye(3), torch.arange(3)
    assert 0 < temperature(scores, labels) < 0.01
    assert 100 < temperature(-scores, labels) < 10_000


def test_calibration_error() -> None:
    certain = torch.tensor([[1.0, 0.0]] * 10).clamp_min(1e-12).log()
    labels = torch.tensor([0] * 7 + [1] * 3)
    assert calibration_error(certain, labels) == pytest.approx(0.3)
    honest = torch.tensor([[0.7, 0.3]] * 10).log()
    assert calibration_error(honest, labels) == pytest.approx(0.0, abs=1e-6)
