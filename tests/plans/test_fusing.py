"""Exact merges: what is found, what is left and why, and that outputs stay what they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import netsmith
from netsmith.errors import InputError, PlanError
from netsmith.plans import FuseLayers, Plan, RemoveBlock, plan_fusion


class Branches(nn.Module):
    """A 3×3, a 1×1 and an identity branch, each normalized, summed and bent."""

    def __init__(self, width: int, stride: int = 1) -> None:
        super().__init__()
        self.wide = nn.Sequential(nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width))
        self.narrow = nn.Sequential(nn.Conv2d(width, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        self.straight = nn.BatchNorm2d(width) if stride == 1 else None
        self.gate, self.act = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, width, 1)), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.wide(x) + self.narrow(x)
        y = y if self.straight is None else y + self.straight(x)
        return self.act(self.gate(y))


class Net(nn.Module):
    """``kind`` says what stands between its layers."""

    def __init__(self, kind: str = "plain") -> None:
        super().__init__()
        self.kind = kind
        self.conv, self.norm = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.other = nn.BatchNorm2d(6)
        self.last = nn.Conv2d(6, 4, 1)
        if kind == "shared":
            self.again = self.conv
        if kind == "tied":
            self.twin = nn.Conv2d(3, 6, 3, padding=1, bias=False)
            self.twin.weight = self.conv.weight

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        z = self.norm(y)
        if self.kind == "read twice":
            z = z + y
        if self.kind == "interleaved":
            z = z.relu() + self.other(self.conv(x)).relu()
        if self.kind in ("shared", "tied"):
            return self.last(F.relu(z)) + (self.again if self.kind == "shared" else self.twin)(x).mean()
        return self.last(F.relu(z))


IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def lively(build: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    model = build()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if "running_var" in name:
                tensor.uniform_(0.5, 2)
            elif tensor.is_floating_point() and tensor.dim() == 1:
                tensor.normal_()
    return model.eval()


def fused(model: nn.Module, inputs: Tensor, tmp_path: Path, build: Callable[[], nn.Module]) -> tuple[nn.Module, Plan]:
    """The merged model, after every check that every merge must pass."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    plan = plan_fusion(netsmith.trace(model, inputs))
    small = netsmith.apply(model, plan)
    assert netsmith.verify(model, small, plan, inputs).ok
    with torch.no_grad():
        torch.testing.assert_close(small(inputs), model(inputs), rtol=1e-5, atol=1e-5)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    netsmith.save(small, tmp_path / "small", plan=plan)
    again = netsmith.load(tmp_path / "small", build)
    assert torch.equal(again(inputs), small(inputs))
    return small, plan


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())


def test_a_normalization_goes_into_the_layer_before_it(tmp_path: Path) -> None:
    small, plan = fused(lively(Net), IMAGES, tmp_path, Net)
    assert plan.edits == (FuseLayers(("conv", "norm"), "conv", (2, 3, 8, 8)),)
    assert isinstance(small.norm, nn.Identity) and small.conv.bias is not None
    assert "conv" in str(plan) and "computes what conv, norm did" in str(plan)


def test_branches_become_one_convolution(tmp_path: Path) -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 6, 1), Branches(6), Branches(6, 2), nn.Conv2d(6, 4, 1))

    small, plan = fused(lively(build), IMAGES, tmp_path, build)
    assert [edit.into for edit in plan.fusions] == ["1", "2"] and norms(small) == 0
    assert plan.fusions[0].then == ("1.gate", "1.act") and plan.fusions[0].place == "1.0"
    assert [type(module).__name__ for module in small[2]] == ["Conv2d", "Sequential", "ReLU"]
    assert plan.renamed("1.gate.1.weight") == "1.1.1.weight" and plan.renamed("1.narrow.0.weight") is None


def test_linear_layers_and_scales_in_a_row(tmp_path: Path) -> None:
    def build() -> nn.Module:
        rows = nn.Sequential(nn.Linear(5, 4, bias=False), nn.Dropout(0.2), nn.BatchNorm1d(4), nn.Linear(4, 6))
        return nn.Sequential(rows, nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2), nn.Linear(2, 6))

    small, plan = fused(lively(build), torch.randn(3, 5), tmp_path, build)
    # 5 -> 4 -> 6 is 5 -> 6; what goes through 2 units must not become a full matrix
    assert [edit.layers for edit in plan.fusions] == [("0.0", "0.2", "0.3", "1")]
    assert isinstance(small[0][0], nn.Linear) and small[0][0].weight.shape == (6, 5)


class Own(nn.Module):
    """A convolution and its normalization in one module, without modules of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.gain, self.shift = (nn.Parameter(torch.randn(n)) for n in ((4, 3, 3, 3), (4,), (4,)))
        self.mean, self.var = nn.Buffer(torch.randn(4)), nn.Buffer(torch.rand(4) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv2d(x, self.kernel, padding=1, stride=2)
        return F.batch_norm(y, self.mean, self.var, self.gain, self.shift)


def test_layers_of_ones_own(tmp_path: Path) -> None:
    def build() -> nn.Module:
        return nn.Sequential(Own(), nn.ReLU(), nn.Conv2d(4, 2, 1))

    model = build().eval()
    small, plan = fused(model, IMAGES, tmp_path, build)
    assert plan.edits == (FuseLayers(("0",), "0", (2, 3, 8, 8)),)
    assert isinstance(small[0], nn.Conv2d) and small[0].stride == (2, 2)


def test_tf_padding_and_activations_inside_a_normalization(tmp_path: Path) -> None:
    layers = pytest.importorskip("timm.layers")

    def build() -> Any:
        conv = layers.Conv2dSame(3, 6, 3, stride=2, bias=False)
        return nn.Sequential(conv, layers.BatchNormAct2d(6, act_layer=nn.SiLU), nn.Conv2d(6, 4, 1))

    small, plan = fused(lively(build), torch.randn(2, 3, 9, 8), tmp_path, build)
    assert plan.edits == (FuseLayers(("0", "1"), "0", (2, 3, 9, 8), ("1.act",)),)
    assert type(small[0]) is layers.Conv2dSame and isinstance(small[1], nn.SiLU)


@pytest.mark.parametrize("name", ["RepVggBlock", "MobileOneBlock"])
@pytest.mark.parametrize("stride", [1, 2])
def test_it_is_what_timm_makes_of_its_own_blocks(name: str, stride: int, tmp_path: Path) -> None:
    byobnet = pytest.importorskip("timm.models.byobnet")

    def build() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), getattr(byobnet, name)(4, 4, 3, stride=stride))

    model = lively(build)
    small, plan = fused(model, IMAGES, tmp_path, build)
    assert [edit.into for edit in plan.fusions] == ["2"] and norms(small) == 0
    model[2].reparameterize()
    with torch.no_grad():
        torch.testing.assert_close(small(IMAGES), model(IMAGES), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("read twice", "no layer that could take it over stands alone before or behind it"),
        ("interleaved", "no layer that could take it over stands alone before or behind it"),
        ("shared", "no layer that could take it over stands alone before or behind it"),
        ("tied", "conv.weight is shared"),
    ],
)
def test_what_is_not_exact_is_left(kind: str, why: str) -> None:
    model = lively(lambda: Net(kind))
    plan = plan_fusion(netsmith.trace(model, IMAGES))
    assert plan.edits == () and plan.left["norm"] == why
    assert netsmith.verify(model, netsmith.apply(model, plan), plan, IMAGES).ok


def test_hooks_keep_a_layer() -> None:
    model = lively(Net)
    model.norm.register_forward_hook(lambda module, args, out: out.clone())
    assert plan_fusion(netsmith.trace(model, IMAGES)).edits == ()


def test_a_normalization_before_padding_stays() -> None:
    def build(padding: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=padding))

    assert plan_fusion(netsmith.trace(lively(lambda: build(1)), IMAGES)).edits == ()
    edits = plan_fusion(netsmith.trace(lively(lambda: build(0)), IMAGES)).fusions
    assert [(edit.layers, edit.into) for edit in edits] == [(("2", "3"), "3")]


def test_train_mode_device_and_dtype_stay() -> None:
    model = lively(Net).train().bfloat16()
    model.conv.weight.requires_grad_(False)
    plan = plan_fusion(netsmith.trace(model, IMAGES.bfloat16()))
    small = netsmith.apply(model, plan)
    assert small.training and small.conv.weight.dtype == torch.bfloat16 and not small.conv.weight.requires_grad
    assert netsmith.apply(Net().to("meta"), plan).conv.bias.is_meta


def test_plans_are_chained_with_others() -> None:
    model = lively(lambda: nn.Sequential(nn.Conv2d(3, 6, 1), Branches(6), Branches(6), nn.Conv2d(6, 4, 1)))
    wiring = netsmith.trace(model, IMAGES)
    pruned_plan = netsmith.plan_removal(wiring, budget=netsmith.Budget(macs=0.7), score=netsmith.scores.magnitude)
    pruned = netsmith.apply(model, pruned_plan)
    plan = plan_fusion(netsmith.trace(pruned, IMAGES)).after(pruned_plan.with_refitted(["1.wide.1.bias"]))
    small = netsmith.apply(model, plan)
    assert {"1.0.weight", "1.0.bias"} <= plan.refitted
    assert netsmith.verify(model, small, plan, IMAGES).ok and norms(small) == 0


def test_a_wrong_value_is_found() -> None:
    model = lively(Net)
    plan = plan_fusion(netsmith.trace(model, IMAGES))
    small = netsmith.apply(model, plan)
    with torch.no_grad():
        small.conv.bias[0] += 0.1
    verdict = netsmith.verify(model, small, plan, IMAGES)
    assert [check.status for check in verdict.checks if check.name == "weights"] == ["failed"]
    unpadded = FuseLayers(("conv", "norm"), "conv", (2, 3, 8, 8))
    model.conv.padding_mode = "circular"  # merged all the same: what pads stays with its layer
    plan = plan_fusion(netsmith.trace(model, IMAGES))
    assert plan.edits == (unpadded,)
    assert netsmith.verify(model, netsmith.apply(model, plan), plan, IMAGES).ok


def test_bad_input() -> None:
    with pytest.raises(InputError, match="wiring is a Net; give what trace"):
        plan_fusion(Net())  # type: ignore[arg-type]
    misread = FuseLayers(("conv", "norm"), "conv", (2, 4, 8, 8))
    plan = Plan((misread,), {}, {}, {}, netsmith.trace(Net(), IMAGES).fingerprint)
    with pytest.raises(PlanError, match="conv, norm cannot be merged in this model: forward raises"):
        netsmith.apply(Net(), plan)
    with pytest.raises(PlanError, match="there is no module conv"):
        netsmith.apply(nn.Sequential(Net()), plan)
    for edits, why in [
        ((FuseLayers(("a",), "b", (1,)),), "must be one of its layers"),
        ((FuseLayers(("a", "b"), "a", (1,)), FuseLayers(("b", "c"), "b", (1,))), "edited twice"),
        ((FuseLayers(("a", "b"), "a", (1,)), RemoveBlock("c")), "and merges layers"),
    ]:
        with pytest.raises(PlanError, match=why):
            Plan(edits, {}, {}, {}, "")
