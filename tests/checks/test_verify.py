"""The verdict is right on right edits, and every way of being wrong is caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn

import netsmith
from netsmith.checks import Verdict, verify
from netsmith.errors import InputError, ModelError, PlanError
from netsmith.plans import Plan
from netsmith.wiring import tensor_slots
from small_networks import NETWORKS, Residual, network, plan_keeping


@cache
def plan_of(name: str, keep: float) -> Plan:
    return netsmith.plan_removal(netsmith.trace(*network(name)), keep=keep)


def edited(name: str, keep: float = 0.5) -> tuple[nn.Module, nn.Module, Plan, torch.Tensor]:
    model, x = network(name)  # the same values every time
    plan = plan_of(name, keep)
    return model, netsmith.apply(model, plan), plan, x


def status(verdict: Verdict) -> dict[str, str]:
    return {check.name: check.status for check in verdict.checks}


def detail(verdict: Verdict, name: str) -> str:
    return next(check.detail for check in verdict.checks if check.name == name)


# -------------------------------------------------------------------------------------------------------- right edits


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("keep", [0.75, 0.3])
def test_right_edits(name: str, keep: float) -> None:
    verdict = verify(*edited(name, keep))
    assert verdict.ok and bool(verdict), str(verdict)
    assert str(verdict).startswith("The edited model keeps its promise.")
    outputs = "exact up to statistics" if name == "attention" else "exact"
    assert status(verdict) == {
        "structure": "exact",
        "attributes": "exact",
        "weights": "exact",
        "outputs": outputs,
        "runs": "ok",
    }


def test_statistics_are_named_as_such_only_where_they_are() -> None:
    """Behind a layer normalization the equality is exact only once its statistics are held fixed."""
    model, x = network("attention")
    wiring = netsmith.trace(model, x)
    heads = plan_keeping(wiring, {"qkv.weight:0.1": (0, 3)})  # whole heads: no statistic over them
    assert status(verify(model, netsmith.apply(model, heads), heads, x))["outputs"] == "exact"


def test_half_precision() -> None:
    model, x = network("residual")
    model, x = model.bfloat16(), x.bfloat16()
    plan = netsmith.plan_removal(netsmith.trace(model, x), keep=0.5)
    assert status(verify(model, netsmith.apply(model, plan), plan, x))["outputs"] == "exact"


def test_a_forward_that_insists_on_single_precision() -> None:
    class Single(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 2)

        def forward(self, x):
            return self.b(torch.relu(self.a(x.float())))

    model, x = Single(), torch.randn(3, 4)
    plan = netsmith.plan_removal(netsmith.trace(model, x), keep=0.5)
    verdict = verify(model, netsmith.apply(model, plan), plan, x)
    assert verdict and "float32" in detail(verdict, "outputs")


def test_an_empty_plan() -> None:
    model, x = network("mlp")
    plan = netsmith.plan_removal(netsmith.trace(model, x), keep=1)
    assert verify(model, netsmith.apply(model, plan), plan, x)


# -------------------------------------------------------------------------------------------------------- wrong edits


def swapped_units(model: nn.Module) -> None:
    model.conv2.weight.data[:, [0, 1]] = model.conv2.weight.data[:, [1, 0]]


def permuted_rows(model: nn.Module) -> None:
    model.conv1.weight.data = model.conv1.weight.data.roll(1, 0)


def changed_bias(model: nn.Module) -> None:
    model.fc.bias.data[2] += 1e-3


def nan_weight(model: nn.Module) -> None:
    model.fc.weight.data[0, 0] = torch.nan


def changed_statistic(model: nn.Module) -> None:
    model.bn2.running_var[1] *= 1.01


def other_precision(model: nn.Module) -> None:
    model.fc.weight.data = model.fc.weight.data.double()
    model.fc.bias.data = model.fc.bias.data.double()


@pytest.mark.parametrize(
    ("harm", "tensor"),
    [
        (swapped_units, "conv2.weight"),
        (permuted_rows, "conv1.weight"),
        (changed_bias, "fc.bias"),
        (nan_weight, "fc.weight"),
        (changed_statistic, "bn2.running_var"),
        (other_precision, "fc.weight"),
    ],
)
def test_weights_that_are_not_the_originals(harm: Callable[[nn.Module], None], tensor: str) -> None:
    model, changed, plan, x = edited("residual")
    harm(changed)
    verdict = verify(model, changed, plan, x)
    assert not verdict
    assert status(verdict)["weights"] == "failed"
    assert f"{tensor} is not the promised part of the original's" in detail(verdict, "weights")
    assert "its plan has to say so: plan.with_refitted(names)" in detail(verdict, "weights")
    assert str(verdict).startswith("The edited model BREAKS its promise.")


def test_refitted_tensors_may_differ_and_no_others() -> None:
    model, changed, plan, x = edited("residual")
    changed_bias(changed)
    assert verify(model, changed, plan.with_refitted(["fc.bias"]), x)
    verdict = verify(model, changed, plan.with_refitted(["fc.weight"]), x)
    assert not verdict and status(verdict)["weights"] == "failed"


def test_other_units_than_planned() -> None:
    model, changed, plan, x = edited("residual")
    (edit,) = [e for e in plan.edits if e.axis == "conv1.weight:0"]
    rest = tuple(u for u in range(12) if u not in edit.keep)
    other = replace(plan, edits=tuple(replace(e, keep=rest) if e is edit else e for e in plan.edits))
    verdict = verify(model, changed, other, x)
    assert not verdict and status(verdict)["weights"] == "failed"


def test_outputs_that_are_not_finite() -> None:
    model, changed, plan, x = edited("residual")
    nan_weight(changed)
    verdict = verify(model, changed, plan.with_refitted(["fc.weight"]), x)
    assert status(verdict)["runs"] == "failed" and "output 0 is not finite" in detail(verdict, "runs")


def test_ties_that_are_lost() -> None:
    model, changed, plan, x = edited("tied")
    changed.head.weight = nn.Parameter(changed.head.weight.detach().clone())
    verdict = verify(model, changed, plan, x)
    assert "head.weight is no longer tied to embed.weight" in detail(verdict, "structure")


def test_shapes_and_names() -> None:
    model, changed, plan, x = edited("residual")
    changed.fc = nn.Linear(4, 6)
    changed.extra = nn.Parameter(torch.ones(1))
    del changed.stem.weight
    verdict = verify(model, changed, plan, x)
    text = detail(verdict, "structure")
    assert "stem.weight is missing" in text and "extra is not in the plan" in text
    assert "fc.weight has shape (6, 4), promised (5, 4)" in text
    assert status(verdict)["structure"] == status(verdict)["runs"] == "failed"
    assert "outputs" not in status(verdict)


def test_an_attribute_that_was_forgotten() -> None:
    model, changed, plan, x = edited("attention")
    changed.head_dim = 4
    verdict = verify(model, changed, plan, x)
    assert not verdict
    assert ":head_dim is 4, promised 2" in detail(verdict, "attributes")
    assert "forward raises RuntimeError" in detail(verdict, "runs")
    assert "forward raises RuntimeError" in detail(verdict, "outputs")


def test_another_output_shape() -> None:
    class Other(Residual):
        def forward(self, x):
            return super().forward(x)[:, :3]

    model, changed, plan, x = edited("residual")
    changed.__class__ = Other
    assert "output 0 has shape (2, 3), not (2, 5)" in detail(verify(model, changed, plan, x), "runs")

    class Two(Residual):
        def forward(self, x):
            return super().forward(x), x

    changed.__class__ = Two
    verdict = verify(model, changed, plan, x)
    assert "2 outputs instead of 1" in detail(verdict, "runs")
    assert status(verdict)["outputs"] == "failed"


def test_a_forward_that_computes_something_else() -> None:
    class Other(Residual):
        def forward(self, x):
            return super().forward(x) + 0.001

    model, changed, plan, x = edited("residual")
    changed.__class__ = Other
    verdict = verify(model, changed, plan, x)
    assert status(verdict)["outputs"] == "failed" and "the outputs differ by" in detail(verdict, "outputs")
    assert status(verdict)["weights"] == "exact"


def shifted(plan: Plan, tensor: str, layouts: tuple) -> Plan:
    return replace(plan, layouts={**plan.layouts, tensor: layouts})


@pytest.mark.parametrize("name", ["concatenated", "attention"])
def test_a_plan_whose_layouts_are_wrong(name: str) -> None:
    """``apply`` does what the plan says, so weights agree; the outputs betray it."""
    model, x = network(name)
    plan = netsmith.plan_removal(netsmith.trace(model, x), keep=0.5)
    if name == "concatenated":
        out, _, *kernel = plan.layouts["mix.weight"]
        swapped = type(plan.layouts["mix.weight"][1][0])((("right.weight:0",), ("left.weight:0",)))
        wrong = shifted(plan, "mix.weight", (out, (swapped,), *kernel))
    else:  # heads and the width of heads the other way round
        out, into = plan.layouts["proj.weight"]
        wrong = shifted(plan, "proj.weight", (out, tuple(reversed(into))))
    assert wrong.shape_before("mix.weight" if name == "concatenated" else "proj.weight")
    verdict = verify(model, netsmith.apply(model, wrong), wrong, x)
    assert not verdict
    assert status(verdict)["outputs"] == "failed"
    assert status(verdict)["weights"] == "exact"


def test_a_layout_that_forgets_a_constant_tensor() -> None:
    """Fresh biases are all zero and unit scales all one: that they belong to other units shows only once uneven."""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 2)), torch.randn(3, 4)
    nn.init.zeros_(model[0].bias)
    plan = plan_keeping(netsmith.trace(model, x), {"0.weight:0": (3, 4, 5)})
    changed = netsmith.apply(model, plan)
    assert verify(model, changed, plan, x)
    wrong = replace(
        plan, sizes={**plan.sizes, "b": 6}, edits=(*plan.edits, replace(plan.edits[0], axis="b", keep=(0, 1, 2)))
    )
    wrong = shifted(wrong, "1.weight", (("b",),))
    same = netsmith.apply(model, wrong)  # the very same values
    assert all(torch.equal(a, b) for a, b in zip(same.parameters(), changed.parameters(), strict=True))
    assert status(verify(model, same, wrong, x))["outputs"] == "failed"


# -------------------------------------------------------------------------------------------------------- side effects


def test_nothing_is_left_behind() -> None:
    model, changed, plan, x = edited("residual")
    model.train()
    model.bn1.eval()
    changed.train()
    state = torch.get_rng_state()
    modes = [[m.training for m in each.modules()] for each in (model, changed)]
    before = [{s.name: s.tensor.detach().clone() for s in tensor_slots(each)} for each in (model, changed)]
    verify(model, changed, plan, x)
    assert torch.equal(torch.get_rng_state(), state)
    assert modes == [[m.training for m in each.modules()] for each in (model, changed)]
    for each, values in zip((model, changed), before, strict=True):
        assert all(torch.equal(values[s.name], s.tensor) and s.tensor.grad is None for s in tensor_slots(each))
    assert torch.backends.mha.get_fastpath_enabled()


def test_dropout_is_off() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.9), nn.Linear(8, 2)).train()
    plan = netsmith.plan_removal(netsmith.trace(model, torch.ones(2, 4)), keep=0.5)
    assert verify(model, netsmith.apply(model, plan), plan, torch.ones(2, 4))


# ---------------------------------------------------------------------------------------------------------- bad inputs


def test_a_plan_of_another_model() -> None:
    _, changed, plan, x = edited("residual")
    with pytest.raises(PlanError, match="this plan was made for another model than this Residual"):
        verify(changed, changed, plan, x)


def test_inputs_with_which_the_original_does_not_run() -> None:
    model, changed, plan, _ = edited("residual")
    with pytest.raises(InputError, match="the original raises with the example inputs: RuntimeError"):
        verify(model, changed, plan, torch.randn(2, 4, 6, 6))
    with pytest.raises(InputError, match="example_inputs is a list"):
        verify(model, changed, plan, [torch.randn(2, 3, 6, 6)])


def test_weights_on_meta() -> None:
    model, changed, plan, x = edited("residual")
    with pytest.raises(ModelError, match="verify compares values, and there are weights on 'meta'"):
        verify(model, changed.to("meta"), plan, x)


def test_outputs_are_not_called_finite_where_the_original_has_none() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    x = torch.randn(2, 4)
    plan = netsmith.plan_removal(netsmith.trace(model, x), keep=0.5)
    small = netsmith.apply(model, plan)
    with torch.no_grad():
        model[2].bias[0] = small[2].bias[0] = float("inf")
    verdict = netsmith.verify(model, small, plan, x)
    assert detail(verdict, "runs") == "1 outputs, shapes as before, not finite, as the original's"
