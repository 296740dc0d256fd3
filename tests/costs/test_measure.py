"""Costs of whole models, and of models that do not exist yet."""

from __future__ import annotations

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import netsmith
from netsmith.costs import measure, predict
from netsmith.errors import CaptureError, InputError
from netsmith.plans import ResizeAxis, plan_removal
from netsmith.plans.sizing import changeable_axes
from netsmith.plans.widths import plan_for, proven_sizing
from small_networks import NETWORKS, Tied, network


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "densenet121", "vit_b_32", "swin_t"])
def test_against_torchs_flop_counter(name: str) -> None:
    with torch.device("meta"):
        model = torchvision.models.get_model(name).eval()
        x = torch.randn(1, 3, 224, 224)
        # the fused fast path of attention hides its products from the counter
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                model(x)
        finally:
            torch.backends.mha.set_fastpath_enabled(True)
    cost = measure(model, x)
    assert 2 * cost.macs == counter.get_total_flops()
    assert cost.params == sum(p.numel() for p in model.parameters())
    assert cost.bytes == sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
    assert cost.latency_ms is None


@pytest.mark.parametrize("name", NETWORKS)
def test_a_prediction_is_what_is_measured_afterwards(name: str) -> None:
    model, x = network(name)
    wiring = netsmith.trace(model, x)
    assert predict(wiring, wiring.sizes) == measure(model, x)
    names = changeable_axes(wiring)

    @settings(max_examples=3, deadline=None, derandomize=True)
    @given(st.fixed_dictionaries({n: st.integers(1, wiring.sizes[n]) for n in names}))
    def check(targets: dict[str, int]) -> None:
        sizing, _ = proven_sizing(wiring, targets)
        plan = plan_for(wiring, sizing, {n: range(size) for n, size in sizing.sizes.items()})
        assert predict(wiring, sizing.sizes) == measure(netsmith.apply(model, plan), x)

    check()


@pytest.mark.parametrize("name", ["resnet18", "swin_t"])
def test_predictions_for_large_models(name: str) -> None:
    with torch.device("meta"):
        model = torchvision.models.get_model(name).eval()
        x = torch.randn(1, 3, 224, 224)
    wiring = netsmith.trace(model, x)
    sizing, _ = proven_sizing(wiring, {n: max(1, wiring.sizes[n] // 2) for n in changeable_axes(wiring)})
    plan = plan_for(wiring, sizing, {n: range(size) for n, size in sizing.sizes.items()})
    predicted = predict(wiring, sizing.sizes)
    assert predicted == measure(netsmith.apply(model, plan), x)
    assert predicted.params < 0.6 * measure(model, x).params
    assert all(isinstance(edit, ResizeAxis) for edit in plan.edits)


def test_shared_tensors_count_once() -> None:
    cost = measure(Tied(), torch.zeros(1, 4, dtype=torch.long))
    assert cost.params == 20 * 8 + 10 * 8 + 10
    assert cost.bytes == 4 * cost.params


def test_bytes_follow_the_precision_and_include_buffers() -> None:
    model = nn.BatchNorm1d(6).half()
    assert measure(model, torch.randn(2, 6).half()).bytes == 4 * 6 * 2 + 8


def test_macs_are_those_of_this_call() -> None:
    model = nn.Linear(6, 7)
    assert [measure(model, torch.randn(n, 6)).macs for n in (1, 5)] == [42, 210]


def test_the_model_is_as_before() -> None:
    model, x = network("residual")
    model.train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    measure(model, x, latency=False)
    assert all(m.training for m in model.modules())
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_a_forward_that_looks_at_values() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            x = self.a(x)
            return self.b(x) if float(x.sum()) > -1e9 else x

    assert measure(Gated(), torch.ones(1, 4)).macs == 32


def test_latency_is_asked_for() -> None:
    cost = measure(nn.Linear(4, 4), torch.ones(1, 4), latency=True)
    assert cost.latency_ms is not None and cost.latency_ms > 0


def test_inputs_and_models_that_do_not_fit() -> None:
    with pytest.raises(CaptureError, match=r"Linear.forward raises with the example inputs \(\(1, 5\) float32\)"):
        measure(nn.Linear(4, 4), torch.ones(1, 5))
    with pytest.raises(InputError, match="example_inputs is a list; give a tensor, a tuple"):
        measure(nn.Linear(4, 4), [torch.ones(1, 4)])
    with pytest.raises(InputError, match=r"model is a function; give a torch\.nn\.Module"):
        measure(lambda x: x, torch.ones(1, 4))  # type: ignore[arg-type]


def test_a_plan_by_macs_is_confirmed() -> None:
    model, x = network("residual")
    wiring = netsmith.trace(model, x)
    plan = plan_removal(wiring, keep=0.5)
    assert predict(wiring, {**wiring.sizes, **plan.new_sizes}) == measure(netsmith.apply(model, plan), x)
