"""Inputs by the names of an exported graph."""

from __future__ import annotations

import logging

import pytest
import torch

from netsmith.costs.feeding import feed, quiet
from netsmith.errors import CaptureError


def test_by_keyword_or_in_order() -> None:
    a, b = torch.ones(1), torch.zeros(2)
    assert feed(["b", "a"], {"a": a, "b": b})["a"].tolist() == [1.0]
    assert feed(["x", "y"], (a, b))["y"].tolist() == [0.0, 0.0]
    assert feed(["x"], a)["x"].tolist() == [1.0]


def test_another_number_of_inputs() -> None:
    with pytest.raises(CaptureError, match=r"reads 1 inputs \(x\), the example inputs hold 2"):
        feed(["x"], (torch.ones(1), torch.ones(1)))


def test_keywords_that_the_graph_does_not_know() -> None:
    with pytest.raises(CaptureError, match="reads inputs named x_orig, y, the call gives x, y; give positional"):
        feed(["x_orig", "y"], {"x": torch.ones(1), "y": torch.ones(1)})


def test_quiet_gives_logging_back_even_when_something_raises(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.root.manager.disable
    with pytest.raises(ValueError, match="mine"), quiet():
        print("noise")  # noqa: T201
        raise ValueError("mine")
    assert logging.root.manager.disable == before
    assert capsys.readouterr().out == ""
