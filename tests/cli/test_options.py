"""Reading the text of shared options."""

from __future__ import annotations

import pytest

from netsmith.cli.options import parse_budget, parse_shape
from netsmith.errors import BudgetError, InputError


def test_shape() -> None:
    assert parse_shape("1,3,224,224") == (1, 3, 224, 224)
    assert parse_shape("1x3x8x8") == (1, 3, 8, 8)
    assert parse_shape(" 4 , 16 ") == (4, 16)
    assert parse_shape(None) is None


@pytest.mark.parametrize("text", ["", "1,,3", "a,b", "1,-3", "0,3", "1.5", "1,3,"])
def test_what_is_no_shape(text: str) -> None:
    with pytest.raises(InputError, match=r"is no shape.*--input 1,3,224,224"):
        parse_shape(text)


def test_budget() -> None:
    budget = parse_budget(["macs=50%", "latency_ms=3"])
    assert (budget.macs, budget.latency_ms, budget.params) == ("50%", "3", None)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["macs"], r"write NAME=VALUE with NAME one of macs, params, bytes, latency_ms, peak_bytes"),
        (["flops=50%"], r"'flops=50%'"),
        (["macs=50%", "macs=25%"], r"macs is given twice"),
        (["macs=half"], r"macs='half' is no number"),
        (["macs=-1"], r"must be positive"),
    ],
)
def test_what_is_no_budget(texts: list[str], message: str) -> None:
    with pytest.raises(BudgetError, match=message):
        parse_budget(texts)
