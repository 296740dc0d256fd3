"""The demo's network."""

from __future__ import annotations

import pytest
import torch

from netsmith.errors import InputError
from netsmith.zoo import digits_resnet


def test_scores_for_every_class_and_gradients_for_every_parameter() -> None:
    model = digits_resnet(width=8, classes=7)
    scores = model(torch.randn(3, 1, 8, 8))
    assert scores.shape == (3, 7)
    scores.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_width_sets_the_channels_of_the_stages() -> None:
    model = digits_resnet(width=6)
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert shapes["stage1.1.conv2.weight"] == (6, 6, 3, 3)
    assert shapes["stage2.0.shortcut.0.weight"] == (12, 6, 1, 1)
    assert shapes["fc.weight"] == (10, 24)


def test_bad_input() -> None:
    with pytest.raises(InputError, match="width ≥ 1 and classes ≥ 1, not width=0"):
        digits_resnet(width=0)
