"""Products in bfloat16: near those of the model, everywhere that evidence runs one, and nowhere else."""

from __future__ import annotations

import pytest
import torch

import netsmith
from netsmith.errors import InputError
from netsmith.evidence import Checkpoint, Forward, advance
from netsmith.evidence.products import computed, products_in
from netsmith.evidence.resuming import resume
from netsmith.evidence.taping import tape
from netsmith.plans import Budget
from netsmith.wiring.trace import as_run
from small_networks import network


def rounded(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.linear(x.bfloat16(), weight.bfloat16(), bias.bfloat16()).float()


def test_only_products_are_rounded_and_only_within_the_block() -> None:
    x, layer = torch.randn(3, 8), torch.nn.Linear(8, 5)
    weights = (x, layer.weight, layer.bias)
    for name, wanted in (("no", layer(x)), ("bf16", rounded(*weights))):
        with products_in(name):
            assert torch.equal(computed(torch.nn.functional.linear, weights, {}), wanted)
            assert torch.equal(computed(torch.relu, (x,), {}), x.relu())
    assert torch.equal(computed(torch.nn.functional.linear, weights, {}), layer(x))
    with products_in("bf16"):
        double = [t.double() for t in weights]
        assert torch.equal(computed(torch.nn.functional.linear, tuple(double), {}), torch.nn.functional.linear(*double))


@torch.no_grad()
def test_every_way_to_run_a_network_rounds_them() -> None:
    model, x = network("mlp")
    wiring = as_run(netsmith.trace(model, x), x)
    plain = model(x)
    end = next(o.call for o in wiring.output_origins if o.kind == "call")
    last = max(i for i, call in enumerate(wiring.calls) if call.name == "linear")

    def every_way() -> list[torch.Tensor]:
        forward = Forward(model, x, {last: "linear"})
        stop = forward.resume()
        assert stop is not None and forward.resume(stop.run()) is None
        halfway = advance(wiring, Checkpoint(0, x), last)
        return [
            resume(wiring, model, Checkpoint(0, x)),
            resume(wiring, model, halfway),
            tape(wiring, model, halfway, end).run(),
            forward.output,
        ]

    with products_in("bf16"):
        found = every_way()
    for out in found:
        assert out.dtype == torch.float32
        assert torch.equal(out, found[0]) and not torch.equal(out, plain)
        assert torch.allclose(out, plain, atol=0.05 * float(plain.abs().max()))
    assert all(torch.allclose(out, plain, atol=1e-6) for out in every_way())


@torch.no_grad()
def test_a_repair_in_bfloat16_repairs() -> None:
    model, x = network("mlp")
    generator = torch.Generator().manual_seed(0)
    data = [torch.randn(64, *x.shape[1:], generator=generator) for _ in range(4)]
    wanted = model(data[0])
    made = netsmith.shrink(model, x, budget=Budget(params=0.6), data=data, precision="bf16")
    assert made.verdict.ok and next(made.model.parameters()).dtype == torch.float32
    errors = [
        float((each(data[0]) - wanted).square().mean()) for each in (made.model, netsmith.apply(model, made.plan))
    ]
    assert errors[0] < 0.2 * errors[1]


def test_another_precision_is_refused() -> None:
    model, x = network("mlp")
    with pytest.raises(InputError, match="precision='fp8' is unknown"), products_in("fp8"):
        pass
    with pytest.raises(InputError, match="precision='fp8' is unknown"):
        netsmith.shrink(model, x, budget=Budget(params=0.6), precision="fp8")


@pytest.mark.parametrize(
    ("able", "rounds"),
    [
        ({"avx512_bf16": True, "sse4a": True}, True),
        ({"avx512_bf16": True, "amx_bf16": True}, True),
        ({"avx512_bf16": True, "sse4a": False}, False),  # Intel's without AMX: at half the speed of float32
        ({"avx512_bf16": False, "sse4a": True}, False),
        ({}, False),
    ],
)
def test_auto_rounds_where_the_processor_is_faster_with_bfloat16(
    able: dict[str, bool], rounds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    x, weight = torch.full((1, 3), 1.001), torch.ones(2, 3)
    with products_in("auto"):
        product = computed(torch.nn.functional.linear, (x, weight), {})
    assert bool((product == 3.0).all()) == rounds
