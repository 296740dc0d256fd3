"""Integers that change a layer's outputs less than the nearest ones."""

from __future__ import annotations

import pytest
import torch

import netsmith
from netsmith.errors import InputError, PlanError
from netsmith.evidence import activations, mean_divergence
from netsmith.plans import plan_precision, precision
from netsmith.recovery import round_weights
from netsmith.wiring.wrapped import dequantized
from small_networks import network

pytest.importorskip("torchao")


@pytest.fixture(autouse=True)
def tiny_weights_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_SMALLEST", 1)


def correlated(x: torch.Tensor) -> torch.Tensor:
    g = torch.Generator().manual_seed(1)
    shape = (256, *x.shape[1:])
    return torch.randn((256, 1, *shape[2:]), generator=g) + 0.3 * torch.randn(shape, generator=g)


@pytest.mark.parametrize("name", ["mlp", "residual", "concatenated"])
def test_layers_and_outputs_change_less(name: str) -> None:
    model, x = network(name)
    wiring, data = netsmith.trace(model, x), [correlated(x)]
    plan = plan_precision(wiring, scheme="int4")
    nearest = netsmith.apply(model, plan)
    done = round_weights(wiring, plan, data)
    assert done.plan.refitted and all(after < before for before, after in done.errors.values() if after != before)
    reference = [model(data[0]).detach()]
    assert mean_divergence(done.model, data, reference) < mean_divergence(nearest, data, reference)
    for edit in plan.precisions:  # the same scales, other integers
        a, b = nearest.get_parameter(edit.tensor), done.model.get_parameter(edit.tensor)
        assert a.scale.equal(b.scale) and int(b.qdata.min()) >= -8 and int(b.qdata.max()) <= 7
    assert netsmith.verify(model, done.model, done.plan, x).ok


def test_the_error_is_that_of_the_layer() -> None:
    model, x = network("mlp")
    wiring = netsmith.trace(model, x)
    data = [correlated(x)]
    seen = activations(wiring, data)
    done = round_weights(wiring, plan_precision(wiring, scheme="int4"), seen)
    weight, rounded = model[0].weight.detach(), dequantized(done.model[0].weight)
    change = (data[0] @ (rounded - weight).T).square().sum() / (data[0] @ weight.T).square().sum()
    assert abs(float(change) - done.errors["0.weight"][1]) < 1e-5


def test_a_tied_weight_is_rounded_in_all_its_places() -> None:
    model, x = network("tied")
    wiring = netsmith.trace(model, x)
    done = round_weights(wiring, plan_precision(wiring, scheme="int4"), [torch.randint(0, 20, (64, 7))])
    assert done.model.head.weight is done.model.embed.weight
    assert done.plan.refitted == {"embed.weight", "head.weight"}
    assert netsmith.verify(model, done.model, done.plan, x).ok


def test_bad_input() -> None:
    model, x = network("mlp")
    wiring = netsmith.trace(model, x)
    plan = plan_precision(wiring, scheme="int8")
    with pytest.raises(PlanError, match="takes a plan of plan_precision"):
        round_weights(wiring, netsmith.plan_removal(wiring, keep=0.5), [x])
    with pytest.raises(InputError, match="damping=0"):
        round_weights(wiring, plan, [x], damping=0)
    other, _ = network("mlp")
    with torch.no_grad():
        other[0].weight.add_(1)
    with pytest.raises(InputError, match="of another model"):
        round_weights(wiring, plan, activations(netsmith.trace(other, x), [x]))
