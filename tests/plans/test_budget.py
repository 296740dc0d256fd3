"""What a budget accepts, and what it comes to."""

from __future__ import annotations

import pytest

from netsmith.costs import Cost
from netsmith.errors import BudgetError
from netsmith.plans import Budget

ORIGINAL = Cost(params=1000, macs=20_000, bytes=4000, latency_ms=8.0)


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        (0.5, 10_000),
        ("50%", 10_000),
        (" 12.5 %", 2500),
        ("0.25", 5000),
        ("1.0", 20_000),
        (1.0, 20_000),
        ("150%", 30_000),
        (1, 1),
        ("1", 1),
        (5000, 5000),
        (5e3, 5000),
        ("5e3", 5000),
        (1.5, 1.5),
    ],
)
def test_shares_and_absolute_numbers(value: float | str, limit: float) -> None:
    assert Budget(macs=value).limits(ORIGINAL) == {"macs": pytest.approx(limit)}


def test_every_cost_can_be_limited() -> None:
    budget = Budget(macs=0.5, params="10%", bytes=123, latency_ms=0.25)
    assert budget.limits(ORIGINAL) == {"macs": 10_000, "params": 100, "bytes": 123, "latency_ms": 2.0}


def test_what_is_not_limited_does_not_appear() -> None:
    assert Budget(latency_ms=3.0).limits(ORIGINAL) == {"latency_ms": 3.0}


def test_a_share_of_a_latency_that_was_not_measured() -> None:
    with pytest.raises(BudgetError, match="latency_ms is a share of the original's, which was not measured"):
        Budget(latency_ms=0.5).limits(Cost(1, 1, 1))
    assert Budget(latency_ms=3).limits(Cost(1, 1, 1)) == {"latency_ms": 3}


def test_a_budget_that_limits_nothing() -> None:
    with pytest.raises(BudgetError, match=r"limits nothing; give one of macs, params, bytes, latency_ms"):
        Budget()


@pytest.mark.parametrize("value", [0, 0.0, -1, -0.5, "0%", "-5%", float("nan"), float("inf"), "inf"])
def test_numbers_that_are_no_limit(value: float | str) -> None:
    with pytest.raises(BudgetError, match=r"params=.* must be positive; a float ≤ 1 or '50%' is a share"):
        Budget(params=value)


@pytest.mark.parametrize("value", ["half", "%", "", "5 %%", "50%x", [0.5], True])
def test_what_is_no_number(value: object) -> None:
    with pytest.raises(BudgetError, match=r"macs=.* is no number; write macs=0\.5, macs='50%' or an absolute number"):
        Budget(macs=value)  # type: ignore[arg-type]
