"""What verify says of integers that are not what the plan promised."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import netsmith
from netsmith.plans import plan_precision, precision
from netsmith.plans.stored import stored
from small_networks import network

pytest.importorskip("torchao")


@pytest.fixture(autouse=True)
def tiny_weights_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_SMALLEST", 1)


def verdicts(model: nn.Module, small: nn.Module, plan, x: torch.Tensor) -> dict[str, str]:
    return {check.name: check.status for check in netsmith.verify(model, small, plan, x).checks}


def test_floats_where_integers_should_be() -> None:
    model, x = network("mlp")
    plan = plan_precision(netsmith.trace(model, x), scheme="int8")
    small = netsmith.apply(model, plan)
    small[0].weight = nn.Parameter(small[0].weight.dequantize(), False)
    found = verdicts(model, small, plan, x)
    assert found["outputs"] == "failed" and found["weights"] == "failed"


def test_other_integers() -> None:
    model, x = network("mlp")
    plan = plan_precision(netsmith.trace(model, x), scheme="int8")
    small = netsmith.apply(model, plan)
    small[0].weight = stored(model[0].weight + 0.1, plan.precisions[0])
    found = verdicts(model, small, plan, x)
    assert found["weights"] == "failed" and found["outputs"] == "stated error"
    assert verdicts(model, small, plan.with_refitted(["0.weight"]), x)["weights"] == "exact"


def test_the_error_is_stated() -> None:
    model, x = network("mlp")
    plan = plan_precision(netsmith.trace(model, x), scheme="int4")
    small = netsmith.apply(model, plan)
    with torch.no_grad():
        gap = float((small(x) - model(x)).abs().max() / model(x).abs().max())
    assert f"{gap:.1e} of the largest output from the original's" in str(netsmith.verify(model, small, plan, x))
