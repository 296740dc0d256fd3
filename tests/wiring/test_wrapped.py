"""Tensors that hold others."""

from __future__ import annotations

import pytest
import torch

from netsmith.wiring.wrapped import dequantized, inner_tensors, is_wrapped, stored_bytes


def test_an_ordinary_tensor() -> None:
    x = torch.ones(3, 2)
    assert not is_wrapped(x) and inner_tensors(x) == [x] and stored_bytes(x) == 24 and dequantized(x).equal(x)


def test_integers() -> None:
    pytest.importorskip("torchao")
    from netsmith.plans import SetPrecision
    from netsmith.plans.stored import stored

    weight = stored(torch.randn(3, 4), SetPrecision("w", "linear", 8))
    assert is_wrapped(weight) and stored_bytes(weight) == 12 + 3 * 4 and len(inner_tensors(weight)) == 2
    assert dequantized(weight).dtype == torch.float32
