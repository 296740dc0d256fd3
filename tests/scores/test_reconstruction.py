"""Error after the refit, against refits by least squares."""

from __future__ import annotations

from functools import partial

import pytest
import torch

import netsmith
from netsmith.errors import EvidenceError, InputError
from netsmith.evidence import activations
from netsmith.scores import Weights, magnitude, reconstruction
from netsmith.scores import reconstruction as function
from small_networks import NETWORKS, mlp, network


def task(rows: int = 400) -> tuple[torch.nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    return mlp().eval(), torch.randn(rows, 6)


def lost(model: torch.nn.Module, x: torch.Tensor, kept: list[int]) -> float:
    """Share of the second layer's output variance that the kept hidden units do not explain."""
    hidden = model[:2](x).detach().double()
    wanted = (hidden - hidden.mean(0)) @ model[2].weight.detach().double().T
    inputs = (hidden - hidden.mean(0))[:, kept]
    fit = torch.linalg.lstsq(inputs, wanted, driver="gelsd").solution
    return float((inputs @ fit - wanted).square().sum() / wanted.square().sum())


def test_it_is_the_error_without_this_and_all_lower_units() -> None:
    model, x = task()
    wiring = netsmith.trace(model, x)
    got = reconstruction(
        wiring.axis["0.weight:0"], Weights(wiring.tensors), activations=activations(wiring, [x]), strength=1e-7
    )
    order = got.argsort().tolist()
    for gone in range(1, 15):
        expected = lost(model, x, order[gone:])
        assert float(got[order[gone - 1]]) == pytest.approx(expected, rel=0.02, abs=2e-4)
    assert float(got.max()) == pytest.approx(1, abs=1e-3)


def test_each_step_takes_the_least() -> None:
    model, x = task()
    wiring = netsmith.trace(model, x)
    got = reconstruction(
        wiring.axis["0.weight:0"], Weights(wiring.tensors), activations=activations(wiring, [x]), strength=1e-7
    )
    order = got.argsort().tolist()
    for gone in (0, 3, 8):
        left = order[gone:]
        errors = {unit: lost(model, x, [u for u in left if u != unit]) for unit in left}
        assert errors[order[gone]] <= 1.02 * min(errors.values()) + 1e-4


def test_of_two_equal_units_one_stays() -> None:
    model, x = task()
    with torch.no_grad():
        model[0].weight[5], model[0].bias[5] = model[0].weight[1], model[0].bias[1]
        model[2].weight[:, [1, 5]] *= 20  # so large that plain magnitude keeps both
    wiring = netsmith.trace(model, x)
    score = partial(reconstruction, activations=activations(wiring, [x]), strength=1e-6)
    kept = set(netsmith.plan_removal(wiring, keep=0.9, score=score).keep()["0.weight:0"])
    assert len(kept & {1, 5}) == 1


def test_the_normalization_behind_counts() -> None:
    """What feeds an output channel that is scaled down matters less."""
    model, x = network("residual")
    x = torch.randn(16, 3, 6, 6)
    with torch.no_grad():
        model.conv2.weight.zero_()
        model.conv2.weight[0, :6, 1, 1], model.conv2.weight[1, 6:, 1, 1] = 1.0, 1.0
        model.bn2.weight[0], model.bn2.weight[1] = 0.01, 1.0
    wiring = netsmith.trace(model, x)
    got = reconstruction(
        wiring.axis["conv1.weight:0"], Weights(wiring.tensors), activations=activations(wiring, [x]), strength=1e-6
    )
    assert float(got[:6].max()) < float(got[6:].min())


def test_axes_that_are_too_wide_are_judged_unit_by_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    model, x = task()
    wiring = netsmith.trace(model, x)
    monkeypatch.setattr(sys.modules[function.__module__], "_MOST_WORK", 1)
    got = reconstruction(
        wiring.axis["0.weight:0"], Weights(wiring.tensors), activations=activations(wiring, [x]), strength=1e-7
    )
    for unit in range(16):
        expected = lost(model, x, [u for u in range(16) if u != unit])
        assert float(got[unit]) == pytest.approx(expected, rel=0.02, abs=2e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_axis_gets_a_score(name: str) -> None:
    model, x = network(name)
    wiring = netsmith.trace(model, x)
    assert netsmith.plan_removal(
        wiring, keep=0.5, score=partial(reconstruction, activations=activations(wiring, [x]))
    ).edits


def test_without_gram_matrices_it_is_scored_otherwise() -> None:
    model, x = task(8)
    wiring = netsmith.trace(model, x)
    axis, weights = wiring.axis["0.weight:0"], Weights(wiring.tensors)
    found = activations(wiring, [x], gram=False)
    assert torch.equal(reconstruction(axis, weights, activations=found), magnitude(axis, weights))
    with pytest.raises(EvidenceError, match=r"no layer that reads axis '0\.weight:0' has a Gram matrix of its inputs"):
        reconstruction(axis, weights, activations=found, otherwise=None)
    with pytest.raises(InputError, match="strength=0 must be a number > 0"):
        reconstruction(axis, weights, activations=found, strength=0)
