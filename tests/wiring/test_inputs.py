"""The three forms of example inputs."""

from __future__ import annotations

from collections import namedtuple

import pytest
import torch
from torch import nn

from netsmith.errors import InputError
from netsmith.wiring import as_arguments, call_model
from netsmith.wiring.inputs import describe, map_tensors

X = torch.ones(2, 3)


def test_three_forms() -> None:
    assert as_arguments(X) == ((X,), {})
    assert as_arguments((X, 2)) == ((X, 2), {})
    given = {"x": X, "scale": 2}
    args, kwargs = as_arguments(given)
    assert args == () and kwargs == given and kwargs is not given


def test_call_model() -> None:
    class Scale(nn.Module):
        def forward(self, x: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
            return x * scale

    assert call_model(Scale(), X).sum() == 6
    assert call_model(Scale(), (X, 2.0)).sum() == 12
    assert call_model(Scale(), {"x": X, "scale": 3.0}).sum() == 18


@pytest.mark.parametrize("wrong", [[X], "x", 3, None])
def test_another_form_is_refused(wrong: object) -> None:
    with pytest.raises(InputError, match=f"example_inputs is a {type(wrong).__name__}; give a tensor, a tuple"):
        as_arguments(wrong)


@pytest.mark.parametrize("empty", [(), {}, (1, "x"), {"n": 3}])
def test_no_tensor_is_refused(empty: object) -> None:
    with pytest.raises(InputError, match="hold no tensor"):
        as_arguments(empty)


def test_map_tensors_keeps_the_structure() -> None:
    pair = namedtuple("pair", "a b")
    given = {"x": [X, (X, 1)], "p": pair(X, None)}
    out = map_tensors(given, lambda t: t + 1)
    assert type(out["x"]) is list and type(out["x"][1]) is tuple and type(out["p"]) is pair
    assert out["x"][1][1] == 1 and out["p"].b is None and out["p"].a.sum() == 12
    assert X.sum() == 6


def test_describe() -> None:
    assert describe((X, {"ids": torch.zeros(4, dtype=torch.long)})) == "(2, 3) float32, (4,) int64"


def test_empty_inputs() -> None:
    with pytest.raises(InputError, match=r"example_inputs are empty \(\(0, 3\) float32\)"):
        as_arguments(torch.randn(0, 3))
