"""Accuracy, F1, log-loss, calibration and cost of any model."""

from __future__ import annotations

import pytest
import torch

from ensemble_members import accuracy, batches, data, trained
from netsmith.checks.classification import classification
from netsmith.combining.ensembles import evaluate
from netsmith.combining.ensembles.quality import macs_of
from netsmith.errors import InputError


def test_a_single_network() -> None:
    model, x = trained()["wide"], data().test.images
    found = evaluate(model, batches("test"), x[:4])
    assert found.accuracy == pytest.approx(accuracy(model))
    assert found.log_loss == pytest.approx(
        torch.nn.functional.cross_entropy(model(x), data().test.labels).item(), rel=1e-5
    )
    assert found.mean_macs == found.worst_macs == 64 * 48 + 48 * 10  # of one example, not of the call's four
    assert found.f1 == pytest.approx(classification(model, batches("test"))["f1"])
    assert 0 <= found.ece < 1
    assert set(found.as_dict()) == {"accuracy", "f1", "log_loss", "ece", "mean_macs", "worst_macs"}


def test_inputs_without_examples() -> None:
    with pytest.raises(InputError, match="must hold a tensor with at least one example, batch first"):
        macs_of(dict(trained()), torch.tensor(1.0))
