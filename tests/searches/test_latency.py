"""The table of calls, and steering by it, with a clock that the tests wind."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import torch

from netsmith.errors import BudgetError
from netsmith.searches import closing_in, steering
from netsmith.searches import latency_table as tables
from netsmith.searches.fitting import fitted
from netsmith.searches.latency_table import LatencyTable, latency_table, work_of
from netsmith.searches.problem import Problem
from netsmith.searches.space import Space
from netsmith.searches.structure import Structure
from netsmith.wiring import trace
from netsmith.zoo import digits_resnet
from search_problems import problem


def linear_table(found: Problem) -> LatencyTable:
    """A call takes 1 µs for each element or multiply-accumulate."""
    whole = [work_of(call, found.wiring.sizes) for call in found.wiring.calls]
    return LatencyTable(found.wiring, tuple(((0.0, 0.0), (work or 1.0, work / 1e3)) for work in whole))


def test_every_call_is_timed_at_several_widths() -> None:
    found = problem(Space(steps=8))
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    table = latency_table(found.wiring, found.menus.widths, rounds=1)
    assert len(table.points) == len(found.wiring.calls)
    contracted = [p for p, call in zip(table.points, found.wiring.calls, strict=True) if call.name == "linear"]
    assert len(contracted) == 8 and all(len(points) > 2 for points in contracted)
    assert all(ms > 0 for points in table.points for _, ms in points)
    assert table.predict(found.wiring.sizes) == pytest.approx(sum(points[-1][1] for points in table.points))
    assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), state)


def test_a_network_with_rectifiers_in_place_is_timed() -> None:
    wiring = trace(digits_resnet(width=4).eval(), torch.randn(2, 1, 8, 8))
    assert any(call.name == "relu_" for call in wiring.calls)
    table = latency_table(wiring, (), rounds=1)
    assert all(ms > 0 for points in table.points for _, ms in points)


def test_between_and_beyond_the_points() -> None:
    points = ((10.0, 1.0), (20.0, 3.0), (40.0, 4.0))
    assert [tables._interpolated(points, work) for work in (0, 10, 15, 20, 30, 99)] == [1.0, 1.0, 2.0, 3.0, 3.5, 4.0]


class Clock:
    """Models take a fixed time and more for each multiply-accumulate."""

    def __init__(self, fixed: float, per_mac: float) -> None:
        self.fixed, self.per_mac, self.calls = fixed, per_mac, 0

    def timed(self, models: Any, example_inputs: Any, engine: str, rounds: int = 1) -> list[float]:
        import netsmith

        self.calls += 1
        return [self.fixed + self.per_mac * netsmith.measure(model, example_inputs).macs for model in models]


def made_by(found: Problem) -> Any:
    return lambda macs: fitted(found, Structure(), {"macs": macs}, Random(0))


@pytest.mark.parametrize("share", [0.9, 0.7, 0.5])
@pytest.mark.parametrize("fixed", [0.0, 1.0])
def test_the_limit_is_met_within_five_percent(share: float, fixed: float, monkeypatch: pytest.MonkeyPatch) -> None:
    found = problem(Space(steps=16))
    whole = found.cost(Structure()).macs
    clock = Clock(fixed, (4.0 - fixed) / whole)
    monkeypatch.setattr(steering, "timed", clock.timed)
    result = steering.steered(found, lambda before: share * before, made_by(found), linear_table(found))
    assert 0.95 * 4 * share <= result.measured_ms <= 4 * share == pytest.approx(result.limit_ms)
    assert result.measurements == clock.calls and result.original_ms == pytest.approx(4)
    if fixed == 0:
        assert abs(result.error) < 0.1
        assert result.predict({}) == pytest.approx(4)


def test_what_is_fast_enough_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    found = problem(Space(steps=8))
    monkeypatch.setattr(steering, "timed", Clock(1.0, 0.0).timed)
    result = steering.steered(found, lambda before: 5.0, made_by(found), linear_table(found))
    assert result.macs == found.cost(Structure()).macs and result.measurements == 1


def test_a_limit_that_nothing_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    found = problem(Space(steps=8))
    monkeypatch.setattr(steering, "timed", Clock(3.0, 1.0 / found.cost(Structure()).macs).timed)
    with pytest.raises(BudgetError, match="latency_ms would be 3.[01].*, above 2, with the narrowest widths"):
        steering.steered(found, lambda before: 2.0, made_by(found), linear_table(found))


@pytest.mark.parametrize("start", [0.4, 0.65, 0.95])
@pytest.mark.parametrize("space", [Space(steps=16), Space(steps=16, depth=True)])
def test_a_structure_is_scaled_until_it_takes_as_long_as_allowed(
    start: float, space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = problem(space)
    whole = found.cost(Structure()).macs
    clock = Clock(1.0, 3.0 / whole)

    def uneven(models: Any, example_inputs: Any, engine: str) -> list[float]:
        times = clock.timed(models, example_inputs, engine)
        return [ms * (1.05 if round(ms * 50) % 3 else 1.0) for ms in times]

    monkeypatch.setattr(steering, "timed", uneven)
    limit = steering.Steered("eager", 0.7 * 4.2, 4.2, 0.0, 0.0, 0.0, 1, linear_table(found))
    cut = tuple(found.menus.blocks)[:1]
    chosen = fitted(found, Structure(cut=cut), {"macs": start * whole}, Random(0))
    assert chosen is not None and chosen.cut == cut
    result = closing_in.closed_in(found, chosen, limit, {})
    assert result is not None and result.cut == cut
    share = closing_in.time_share(found, closing_in.without(found, cut), result, "eager")
    assert 0.9 * 0.7 <= share <= 0.7 + 1e-9 or result == Structure(cut=cut), share
    narrow = closing_in.closed_in(found, chosen, limit, {"macs": 0.3 * whole})
    assert narrow is not None and found.cost(narrow).macs <= 0.3 * whole


def test_no_structure_that_is_fast_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    found = problem(Space(steps=16))
    monkeypatch.setattr(steering, "timed", Clock(1.0, 0.0).timed)
    limit = steering.Steered("eager", 0.5, 1.0, 0.0, 0.0, 0.0, 1, linear_table(found))
    assert closing_in.closed_in(found, Structure(), limit, {}) is None
