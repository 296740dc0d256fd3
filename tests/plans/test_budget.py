"""What a budget accepts, and what it comes to."""

from __future__ import annotations

import pytest

from netsmith.costs import Cost
from netsmith.errors import BudgetError, InputError
from netsmith.plans import Budget
from netsmith.plans.budget import check_saving, kept_already

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


def test_peak_memory_is_a_share_or_a_number_and_has_to_be_known() -> None:
    assert Budget(peak_bytes="50%").limits(Cost(1, 1, 1, peak_bytes=3000)) == {"peak_bytes": 1500}
    assert Budget(peak_bytes=2000).limits(Cost(1, 1, 1, peak_bytes=3000)) == {"peak_bytes": 2000}
    for limit in ("50%", 2000):
        with pytest.raises(BudgetError, match=r"peak_bytes is not known, .* goes another way each time; limit bytes"):
            Budget(peak_bytes=limit).limits(ORIGINAL)


def test_a_budget_that_limits_nothing() -> None:
    with pytest.raises(BudgetError, match=r"limits nothing; give one of macs, params, bytes, latency_ms, peak_bytes"):
        Budget()


@pytest.mark.parametrize("value", [0, 0.0, -1, -0.5, "0%", "-5%", float("nan"), float("inf"), "inf"])
def test_numbers_that_are_no_limit(value: float | str) -> None:
    with pytest.raises(BudgetError, match=r"params=.* must be positive; a float ≤ 1 or '50%' is a share"):
        Budget(params=value)


@pytest.mark.parametrize("value", ["half", "%", "", "5 %%", "50%x", [0.5], True])
def test_what_is_no_number(value: object) -> None:
    with pytest.raises(BudgetError, match=r"macs=.* is no number; write macs=0\.5, macs='50%' or an absolute number"):
        Budget(macs=value)  # type: ignore[arg-type]


def test_more_than_all_saves_nothing() -> None:
    check_saving(Budget(macs="100%", params=10**9, bytes=1.5))
    with pytest.raises(BudgetError, match="a budget of macs=200% is more than the model costs; give a share"):
        check_saving(Budget(params=0.5, macs="200%"))
    with pytest.raises(InputError, match=r"budget is a float; give e.g. netsmith.Budget\(macs=0.5\)"):
        check_saving(0.5)


def test_what_is_said_where_a_budget_is_kept_already() -> None:
    told = kept_already(Budget(macs=30_000, params="100%", latency_ms=9), ORIGINAL)
    assert told == {
        "the model": "costs no more than the budget allows already "
        "(macs 20,000 of 30,000, params 1,000 of 1,000, latency_ms of 9): nothing to do"
    }
