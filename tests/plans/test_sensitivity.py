"""Which weight minds few bits, and which bits each gets."""

from __future__ import annotations

import torch

import netsmith
from netsmith import Budget
from netsmith.plans import SetPrecision
from netsmith.plans.sensitivity import Choice, cheapest, sensitivities
from small_networks import network


def test_each_weight_alone_and_fewer_bits_cost_more() -> None:
    model, x = network("mlp")
    wiring = netsmith.trace(model, x)
    before = [p.clone() for p in model.parameters()]
    menus = {name: [SetPrecision(name, "linear", bits) for bits in (8, 4)] for name in ("0.weight", "4.weight")}
    found = sensitivities(wiring, menus, [torch.randn(32, 6)])
    for menu in found.values():
        assert [c.edit.bits if c.edit else 32 for c in menu] == [32, 8, 4]
        assert 0 == menu[0].error < menu[1].error < menu[2].error
        assert menu[0].bytes > menu[1].bytes > menu[2].bytes
    assert all(p.equal(q) for p, q in zip(before, model.parameters(), strict=True))


def test_bytes_are_saved_where_they_cost_least() -> None:
    model, x = network("mlp")
    wiring = netsmith.trace(model, x)
    sizes = {"0.weight": 384, "2.weight": 640}
    choices = {
        name: [
            Choice(None, size, 0.0),
            Choice(SetPrecision(name, "linear", 8), size // 4, error),
            Choice(SetPrecision(name, "linear", 4), size // 8, 4 * error),
        ]
        for (name, size), error in zip(sizes.items(), (0.5, 0.001), strict=True)
    }
    whole = netsmith.measure(model, x).bytes
    assert cheapest(wiring, Budget(bytes=whole), choices) == {}
    assert {n: e.bits for n, e in cheapest(wiring, Budget(bytes=whole - 1), choices).items()} == {"2.weight": 8}
    assert {n: e.bits for n, e in cheapest(wiring, Budget(bytes=whole - 500), choices).items()} == {"2.weight": 4}
    assert set(cheapest(wiring, Budget(bytes=whole - 600), choices)) == {"0.weight", "2.weight"}
