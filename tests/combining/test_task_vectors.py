"""Task arithmetic."""

from __future__ import annotations

import pytest
import torch

from mergekit_values import BASE, MODELS, VALUES, WEIGHTS
from netsmith.combining import task_arithmetic
from netsmith.errors import InputError


def test_equals_mergekit() -> None:
    assert torch.allclose(task_arithmetic(BASE, MODELS, WEIGHTS), VALUES["task_arithmetic"], atol=1e-6)
    scaled = task_arithmetic(BASE, MODELS, WEIGHTS, normalize=True, scale=0.8)
    assert torch.allclose(scaled, VALUES["task_arithmetic_normalized"], atol=1e-6)


def test_one_model_of_weight_one_is_that_model() -> None:
    assert torch.allclose(task_arithmetic(BASE, MODELS[:1]), MODELS[0], atol=1e-6)


def test_weights_that_cancel_are_not_divided_by() -> None:
    out = task_arithmetic(BASE, MODELS[:2], [1.0, -1.0], normalize=True)
    assert torch.allclose(out, BASE + MODELS[0] - MODELS[1], atol=1e-6)


def test_says_what_is_wrong() -> None:
    with pytest.raises(InputError, match="at least one model"):
        task_arithmetic(BASE, [])
    with pytest.raises(InputError, match="2 models to weigh, but 1"):
        task_arithmetic(BASE, MODELS[:2], [1.0])
