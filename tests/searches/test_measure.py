"""Curves: what redundancy costs nothing, what is needed costs much, and the model stays as it was."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import netsmith
from netsmith.errors import EvidenceError, InputError, UnknownNameError
from netsmith.evidence import divergence
from netsmith.plans import Plan
from netsmith.recovery import compensate
from netsmith.scores import magnitude
from netsmith.searches import measure_curves
from netsmith.searches.measure import _Measuring
from netsmith.wiring import tensor_slots
from small_networks import NETWORKS, mlp, network, plan_keeping


def some(shape: tuple[int, ...], count: int = 4, seed: int = 5) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for _ in range(count)]


def test_units_that_repeat_others_cost_nothing() -> None:
    torch.manual_seed(0)
    model = mlp()
    with torch.no_grad():
        model[4].weight *= 20
        model[0].weight[8:], model[0].bias[8:] = 2 * model[0].weight[:8], 2 * model[0].bias[:8]
    curves = measure_curves(netsmith.trace(model, torch.randn(2, 6)), some((64, 6)), strength=1e-8)
    first = next(c for c in curves.curves if c.axes == ("0.weight:0",))
    assert first.errors[16] == 0 and first.errors[8] < 1e-6 < 1e-3 < first.errors[2]
    assert {u % 8 for u in curves.ranks["0.weight:0"][:8]} == set(range(8))


def test_a_point_lies_between_plain_removal_and_the_pass_that_also_refits_what_follows() -> None:
    model, _ = network("residual")
    with torch.no_grad():
        model.fc.weight *= 50  # scores that differ enough to be measured
    data = some((32, 3, 6, 6))
    wiring = netsmith.trace(model, data[0])
    curves = measure_curves(wiring, data, score=magnitude, most_rows=10**6, strength=1e-6)
    curve = next(c for c in curves.curves if c.axes == ("conv1.weight:0",))
    plan = plan_keeping(wiring, {"conv1.weight:0": tuple(sorted(curves.ranks["conv1.weight:0"][:6]))})
    done = compensate(wiring, plan, data, most_rows=10**6, strength=1e-6, steps=0)

    def from_original(other: nn.Module) -> float:
        with torch.no_grad():
            return sum(float(divergence(model(x), other(x))) for x in data) / len(data)

    assert 0.8 * from_original(done.model) < curve.errors[6] < 0.3 * from_original(netsmith.apply(model, plan).eval())


@pytest.mark.parametrize(("gain", "forwards"), [(0.5, 1), (50.0, 2)])
def test_one_forward_tells_where_little_is_lost_and_two_elsewhere(
    gain: float, forwards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
    with torch.no_grad():
        model[2].weight *= gain
    seen: list[int] = []
    divergence_of = _Measuring._divergence

    def watched(self: _Measuring, starts: object, changed: nn.Module) -> float:
        seen.append(changed[0].out_features)
        return divergence_of(self, starts, changed)

    monkeypatch.setattr(_Measuring, "_divergence", watched)
    (curve,) = measure_curves(netsmith.trace(model, torch.randn(2, 8)), some((64, 8))).curves
    assert seen == [4, 8][:forwards] and (curve.errors[4] < 0.1) == (forwards == 1)
    errors = list(curve.errors.values())
    assert errors == sorted(errors) and len(errors) == 9  # at all widths, growing


@pytest.mark.parametrize("name", NETWORKS)
def test_every_kind_of_axis_has_a_curve_and_nothing_is_touched(name: str) -> None:
    model, x = network(name)
    model.train()
    before = {s.name: s.tensor.detach().clone() for s in tensor_slots(model)}
    state = torch.get_rng_state()
    wiring = netsmith.trace(model, x)
    curves = measure_curves(wiring, [x] * 4)
    assert curves.curves and {n for c in curves.curves for n in c.axes} | set(curves.left or {}) == set(curves.ranks)
    for curve in curves.curves:
        axis = wiring.axis[curve.axes[0]]
        assert curve.errors[axis.size] == 0 and len(curve.errors) > 1
        assert all(e >= -1e-6 and math.isfinite(e) for e in curve.errors.values())
        assert sorted(curves.ranks[axis.name]) == list(range(axis.size))
    assert torch.equal(state, torch.get_rng_state())
    assert all(m.training for m in model.modules())
    assert all(torch.equal(before[s.name], s.tensor) and s.tensor.grad is None for s in tensor_slots(model))


def test_the_same_seed_gives_the_same_curves_and_progress_is_told() -> None:
    model, x = network("residual")
    wiring = netsmith.trace(model, x)
    told: list[tuple[int, int, str]] = []
    one = measure_curves(wiring, some((8, 3, 6, 6)), seed=1, most_rows=100, progress=lambda *step: told.append(step))
    two = measure_curves(wiring, some((8, 3, 6, 6)), seed=1, most_rows=100)
    assert one.curves == two.curves and one.ranks == two.ranks
    assert sorted(told) == [(1, 2, "conv1.weight:0"), (2, 2, "stem.weight:0")]
    assert "conv1.weight:0" in str(one)


def test_round_to_ignore_and_a_score_are_followed() -> None:
    model, x = network("residual")
    wiring = netsmith.trace(model, x)

    def last(axis, weights):
        return torch.arange(axis.size).float()

    curves = measure_curves(wiring, [x], score=last, round_to=4, ignore=["stem"])
    assert [c.axes for c in curves.curves] == [("conv1.weight:0",)]
    assert set(curves.curves[0].errors) == {12, 8, 4}
    assert curves.ranks["conv1.weight:0"] == tuple(reversed(range(12)))


def test_bad_inputs() -> None:
    model, x = network("mlp")
    wiring = netsmith.trace(model, x)
    with pytest.raises(EvidenceError, match="data is empty"):
        measure_curves(wiring, [])
    with pytest.raises(EvidenceError, match="raises on a batch of the data"):
        measure_curves(wiring, [torch.randn(3, 7)])
    with pytest.raises(UnknownNameError, match="matches no module"):
        measure_curves(wiring, [x], ignore=["nothing"])
    with pytest.raises(InputError, match="is not callable"):
        measure_curves(wiring, [x], score="magnitude")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="wiring is a Sequential"):
        measure_curves(model, [x])  # type: ignore[arg-type]
    assert isinstance(netsmith.plan_removal(wiring, keep=1), Plan)
