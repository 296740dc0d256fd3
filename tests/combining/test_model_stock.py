"""Model Stock."""

from __future__ import annotations

import pytest
import torch

from mergekit_values import BASE, MODELS, VALUES
from netsmith.combining import model_stock
from netsmith.errors import InputError


def test_equals_mergekit() -> None:
    assert torch.allclose(model_stock(BASE, MODELS), VALUES["model_stock"], atol=1e-6)


def test_models_that_agree_are_averaged_and_strangers_leave_the_base() -> None:
    base = torch.zeros(2)
    same = torch.tensor([1.0, 1.0])
    assert torch.allclose(model_stock(base, [same, same]), same)
    assert torch.allclose(model_stock(base, [torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])]), base)
    assert torch.allclose(model_stock(base, [same, -same]), base)


def test_needs_two_models() -> None:
    with pytest.raises(InputError, match="at least two models"):
        model_stock(BASE, MODELS[:1])
