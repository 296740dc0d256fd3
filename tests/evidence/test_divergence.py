"""Distances between outputs."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from netsmith.evidence import divergence, first_output, mean_divergence


def test_class_scores_by_kl() -> None:
    p, q = torch.randn(5, 4), torch.randn(5, 4)
    expected = F.kl_div(q.log_softmax(-1), p.log_softmax(-1), log_target=True, reduction="batchmean")
    assert float(divergence(p, q)) == pytest.approx(float(expected), rel=1e-5)
    assert float(divergence(p, p + 3)) == pytest.approx(0, abs=1e-6)  # adding a constant changes no probability


def test_other_outputs_by_relative_squared_error() -> None:
    a = torch.full((2, 3, 4, 4), 2.0)
    assert float(divergence(a, a * 1.5)) == pytest.approx(0.25)
    assert float(divergence(torch.ones(4, 1), torch.zeros(4, 1))) == pytest.approx(1)
    assert float(divergence(torch.zeros(4, 1), torch.zeros(4, 1))) == 0


def test_the_first_floating_output() -> None:
    x = torch.ones(1)
    assert first_output({"ids": torch.ones(1, dtype=torch.long), "scores": x}) is x
    assert first_output((x, x * 2)) is x


def test_the_mean_over_batches() -> None:
    model, batches = nn.Identity(), [torch.zeros(1, 2, 1, 1), torch.ones(1, 2, 1, 1)]
    references = [torch.ones(1, 2, 1, 1), torch.ones(1, 2, 1, 1)]
    assert mean_divergence(model, batches, references) == pytest.approx(0.5)
