"""Replay: a twin of other widths must do call by call what the wiring promises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import netsmith
from netsmith.wiring import Wiring
from netsmith.wiring.proof import replay, resize_of, resized_copy
from netsmith.wiring.recorder import Call
from small_networks import network
from wiring.networks import HeadsByAttribute, LooksAtValues, Residual, TwoLayers


def resized(wiring: Wiring, **sizes: int) -> dict[str, int]:
    return {**wiring.sizes, **sizes}


def test_a_promise_that_holds() -> None:
    model = Residual()
    wiring = netsmith.trace(model, model.example())
    assert replay(wiring, wiring.sizes, wiring.attributes) is None
    assert replay(wiring, resized(wiring, **{"inner.weight:0": 7, "stem.weight:0": 3}), wiring.attributes) is None


def lying(function: Callable, rule: Callable) -> Wiring:
    """A wiring that was read with a rule that is wrong about ``between``."""

    class Liar(TwoLayers):
        def between(self, y: torch.Tensor) -> torch.Tensor:
            return function(y)

    return netsmith.trace(Liar(), Liar().example(), rules={"reshape": rule})


def test_a_wrong_promise_names_its_axes() -> None:
    def transparent(call: Call) -> Any:
        return call.dims(call.args[0])

    # to a size written in the code, which the rule hides
    wiring = lying(lambda y: y.reshape(2, 32), transparent)
    assert [axis.name for axis in wiring.free_axes] == ["a.weight:0"]
    divergence = replay(wiring, resized(wiring, **{"a.weight:0": 16}), wiring.attributes)
    assert divergence is not None and divergence.axes == {"a.weight:0"}
    assert "reshape" in divergence.why or "RuntimeError" in divergence.why
    # and no plan ships it
    assert netsmith.plan_removal(wiring, keep=0.5).edits == ()


def test_other_output_sizes_are_seen_although_nothing_raises() -> None:
    class Width(nn.Module):
        """The width reaches the output in a way that no rule sees."""

        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.a(x)
            return torch.cat([self.b(y), x.new_zeros(x.shape[0], int(y.shape[1]))], 1)

    wiring = netsmith.trace(Width(), torch.randn(2, 4))
    divergence = replay(wiring, resized(wiring, **{"a.weight:0": 4}), wiring.attributes)
    assert divergence is not None
    assert netsmith.plan_removal(wiring, keep=0.5).edits == ()


def test_attributes_take_part() -> None:
    model = HeadsByAttribute()
    wiring = netsmith.trace(model, model.example())
    heads = next(name for name, size in wiring.sizes.items() if name.startswith("a.weight:0") and size == 4)
    assert wiring.attributes == {":h": 4}
    smaller = resized(wiring, **{heads: 2})
    assert replay(wiring, smaller, {":h": 2}) is None
    divergence = replay(wiring, smaller, {":h": 4})
    assert divergence is not None and heads in divergence.axes


def test_values_may_turn_the_way() -> None:
    model = LooksAtValues()
    wiring = netsmith.trace(model, model.example())
    assert not wiring.fake
    assert replay(wiring, resized(wiring, **{"a.weight:0": 16}), wiring.attributes) is None


def test_resized_copy_is_a_real_model() -> None:
    model = Residual()
    wiring = netsmith.trace(model, model.example())
    sizes = resized(wiring, **{"inner.weight:0": 6})
    assert resize_of(wiring, sizes, wiring.attributes).shapes["n2.running_var"] == (6,)
    small = resized_copy(wiring, sizes, wiring.attributes).eval()
    assert small.inner.weight.shape == (6, 16, 3, 3) and small.outer.weight.shape == (16, 6, 3, 3)
    assert small(model.example()).shape == (2, 4)
    assert model.inner.weight.shape[0] == 24


@pytest.mark.parametrize("name", ["mlp", "tied"])
def test_a_resized_copy_holds_parameters_as_the_original_does(name: str) -> None:
    model, x = network(name)
    wiring = netsmith.trace(model, x)
    copy = resized_copy(wiring, wiring.sizes, wiring.attributes)
    held = [p for module in copy.modules() for p in module._parameters.values() if p is not None]
    assert held and all(isinstance(p, nn.Parameter) for p in held)
    shapes = {n: p.shape for n, p in model.named_parameters()}  # of tied ones the first name alone
    assert {n: p.shape for n, p in copy.named_parameters()} == shapes
    torch.export.export(copy.eval(), (x,))  # refuses what is registered as something else
