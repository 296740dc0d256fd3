"""Identity layers in plain networks: where they come, what they are, that nothing changes, what is refused."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import netsmith
from netsmith.errors import FileError, PlanError, UnknownNameError
from netsmith.files import plan_from_json, plan_to_json
from netsmith.files.plan_file import checksum
from netsmith.plans import InsertIdentity, Plan, plan_growth
from netsmith.plans.identities import places, plan_identities
from netsmith.recovery import carry_optimizer

X = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def inserted(plan: Plan) -> list[str]:
    return [edit.block for step in plan.steps for edit in step.insertions]


def largest_difference(model: nn.Module, grown: nn.Module, x: Tensor) -> float:
    """In float64, of the largest output, or of 1 where that is smaller."""
    with torch.no_grad():
        before, after = model.double()(x.double()), grown.double()(x.double())
    model.float(), grown.float()
    return float((before - after).abs().max() / before.abs().max().clamp(min=1))


def mlp() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Linear(4, 6), nn.ReLU(), nn.Dropout(), nn.Linear(6, 5), nn.ReLU6(), nn.Linear(5, 3)]
    return nn.Sequential(*layers).eval()


def digits() -> nn.Module:
    """Batch normalizations with statistics of their own, a ReLU in place, a map of one pixel at the end."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.BatchNorm2d(6, eps=1e-2), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 8, 4), nn.MaxPool2d(1), nn.Hardtanh(-0.1, 2.0), nn.Flatten(), nn.Linear(8, 3)),
    )
    with torch.no_grad():
        model.train()(torch.randn(64, 1, 8, 8))
    return model.eval()


def test_what_is_put_where() -> None:
    found = places(netsmith.trace(digits(), IMAGES))
    assert found == {
        "2": InsertIdentity("2", "conv2d", 6, "0.weight", (3, 3), 1e-2),
        "6": InsertIdentity("6", "conv2d", 8, "4.weight", (1, 1), None, (-0.1, 2.0)),
    }
    assert places(netsmith.trace(mlp(), X)) == {
        "1": InsertIdentity("1", "linear", 6, "0.weight"),
        "4": InsertIdentity("4", "linear", 5, "3.weight", limits=(0.0, 6.0)),
    }


def test_nothing_changes_and_it_comes_back(tmp_path: Path) -> None:
    model = digits()
    state = torch.get_rng_state()
    plan = plan_growth(netsmith.trace(model, IMAGES), deepen=2)
    assert plan.left == {}
    grown = netsmith.apply(model, plan)
    assert torch.equal(torch.get_rng_state(), state) and not grown.training
    assert inserted(plan) == ["2", "6"] and len(grown) == 11 and len(model) == 9
    assert [type(part) for part in grown[3]] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert isinstance(grown[8][-1], nn.Hardtanh) and plan.renamed("8.weight") == "10.weight"
    assert torch.allclose(grown(IMAGES), model(IMAGES), rtol=1e-5, atol=1e-6)
    assert largest_difference(model, netsmith.apply(model.double(), plan), IMAGES) < 1e-12
    verdict = netsmith.verify(model.float(), grown, plan, IMAGES)
    assert verdict.ok and "in float64" in str(verdict)
    assert plan_from_json(plan_to_json(plan)) == plan
    with torch.no_grad():
        for parameter in grown.parameters():
            parameter.add_(0.01)  # the values are those of the file
    netsmith.save(grown, tmp_path / "deep", plan=plan)
    again = netsmith.load(tmp_path / "deep", digits)
    assert torch.equal(again(IMAGES), grown(IMAGES))
    assert "an identity behind it (conv2d 3x3, batch_norm)" in (tmp_path / "deep" / "card.md").read_text()


def small_vgg(norm: bool) -> Callable[[], nn.Module]:
    vgg = pytest.importorskip("torchvision.models.vgg")
    widths = [n if n == "M" else n // 16 for n in vgg.cfgs["A"]]

    def build() -> nn.Module:
        torch.manual_seed(0)
        head = nn.Sequential(nn.Linear(32, 24), nn.ReLU(True), nn.Dropout(), nn.Linear(24, 5))
        parts = {"features": vgg.make_layers(widths, batch_norm=norm), "flatten": nn.Flatten(), "classifier": head}
        return nn.Sequential(OrderedDict(parts)).eval()

    return build


@pytest.mark.parametrize("norm", [False, True])
def test_vgg_wider_deeper_and_pruned_again(norm: bool) -> None:
    model, x = small_vgg(norm)(), torch.randn(1, 3, 32, 32)
    plan = plan_growth(netsmith.trace(model, x), widen={"*": 1.5}, deepen=9)  # everywhere
    assert len(inserted(plan)) == 9 and inserted(plan)[-1] == "classifier.1"
    edits = [edit for step in plan.steps for edit in step.insertions if isinstance(edit, InsertIdentity)]
    assert [edit.norm is not None for edit in edits] == [norm] * 8 + [False]
    grown = netsmith.apply(model, plan)
    assert largest_difference(model, netsmith.apply(model.double(), plan), x) < 1e-9
    assert torch.allclose(grown(x), model.float()(x), rtol=1e-4, atol=1e-5)
    assert netsmith.verify(model, grown, plan, x)
    narrower = netsmith.plan_removal(netsmith.trace(grown, x), keep=0.5)
    whole = narrower.after(plan)
    assert netsmith.verify(model, netsmith.apply(model, whole), whole, x)


def test_more_layers_than_places_also_behind_named_items() -> None:
    model = mlp()
    plan = plan_growth(netsmith.trace(model, X), deepen=5)
    grown = netsmith.apply(model, plan)
    assert len(grown) == 11 and torch.equal(grown(X), model(X)) and netsmith.verify(model, grown, plan, X)
    named = nn.Sequential(OrderedDict(fc=nn.Linear(4, 6), act=nn.ReLU(), head=nn.Linear(6, 2))).eval()
    plan = plan_growth(netsmith.trace(named, X), deepen=3)
    grown = netsmith.apply(named, plan)
    assert inserted(plan) == ["act", "act_copy", "act_copy_copy"] and list(grown._modules)[-1] == "head"
    assert torch.equal(grown(X), named(X)) and netsmith.verify(named, grown, plan, X)


class Stage(nn.Module):
    """A convolution and a ReLU as a function."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.utils.parametrizations.weight_norm(nn.Conv1d(inputs, outputs, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x))


class Listed(nn.Module):
    """Items of an nn.ModuleList in a row, which end in a rectifier that is no module; or read by their number."""

    def __init__(self, numbered: bool = False) -> None:
        super().__init__()
        self.numbered = numbered
        self.stages = nn.ModuleList([Stage(2, 3), Stage(3, 4)])
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        if self.numbered:
            return self.head(self.stages[1](self.stages[0](x)).mean(-1))
        for stage in self.stages:
            x = stage(x)
        return self.head(x.mean(-1))


def test_functional_rectifiers_in_a_module_list() -> None:
    torch.manual_seed(0)
    model, x = Listed().eval(), torch.randn(2, 2, 5)
    plan = plan_growth(netsmith.trace(model, x), deepen=1, where=["stages.0"])
    (edit,) = plan.insertions
    assert isinstance(edit, InsertIdentity) and (edit.kind, edit.kernel, edit.width) == ("conv1d", (3,), 3)
    grown = netsmith.apply(model, plan)
    assert len(grown.stages) == 3 and torch.allclose(grown(x), model(x), atol=1e-6)
    assert netsmith.verify(model, grown, plan, x)


class Looped(nn.Module):
    """Forward rectifies what each item gives, or what two together give."""

    def __init__(self, paired: bool = False) -> None:
        super().__init__()
        self.paired = paired
        self.layers = nn.ModuleList([nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 5)])
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        for i, layer in enumerate(self.layers):
            x = layer(x) if self.paired and i % 2 == 0 else torch.relu(layer(x))
        return self.head(x)


def test_the_loop_rectifies(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Looped().eval()
    plan = plan_growth(netsmith.trace(model, X), deepen=3)
    assert inserted(plan) == ["layers.0", "layers.1", "layers.2"]
    grown = netsmith.apply(model, plan)
    assert len(grown.layers) == 6 and len(grown.layers[1]) == 1
    assert torch.equal(grown(X), model(X)) and netsmith.verify(model, grown, plan, X)
    netsmith.save(grown, tmp_path / "deep", plan=plan)
    assert torch.equal(netsmith.load(tmp_path / "deep", Looped)(X), grown(X))
    with pytest.raises(PlanError, match=r"with identities behind layers\.1 the model would be another"):
        plan_growth(netsmith.trace(Looped(paired=True).eval(), X), deepen=1)


def test_by_influence_of_ones_own() -> None:
    wiring = netsmith.trace(mlp(), X)
    assert inserted(plan_growth(wiring, deepen=1, where={"4": 1.0, "1": 0.5})) == ["4"]
    assert inserted(plan_growth(wiring, deepen=2, where=["1", "1"])) == ["1", "1"]


def test_it_trains_and_the_optimizer_comes_along() -> None:
    model = digits().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(IMAGES).square().sum().backward()
    optimizer.step()
    plan = plan_growth(netsmith.trace(model, IMAGES), deepen=1, where=["2"])
    grown = netsmith.apply(model, plan)
    carried = carry_optimizer(optimizer, model, grown, plan)
    new = list(grown[3].parameters())
    assert (
        grown.training and grown[3].training and len(carried.param_groups[0]["params"]) == len(list(grown.parameters()))
    )
    assert not any(p in carried.state for p in new) and grown[0].weight in carried.state
    before = grown[3][0].weight.detach().clone()
    grown(IMAGES).square().sum().backward()
    carried.step()
    assert (grown[3][0].weight - before).abs().max() > 0


def test_dtype_follows() -> None:
    model = mlp().to(torch.bfloat16)
    grown = netsmith.apply(model, plan_growth(netsmith.trace(mlp(), X), deepen=1))
    assert {p.dtype for p in grown.parameters()} == {torch.bfloat16}
    assert torch.equal(grown(X.bfloat16()), model(X.bfloat16()))


@settings(max_examples=6, deadline=None, derandomize=True)
@given(
    widths=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    norm=st.booleans(),
    rectifier=st.sampled_from([nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.Tanh, nn.LeakyReLU]),
    kernel=st.integers(1, 4),
    count=st.integers(1, 3),
)
def test_any_plain_network(widths: list[int], norm: bool, rectifier: type[nn.Module], kernel: int, count: int) -> None:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inputs, outputs in zip([2, *widths], widths, strict=False):
        layers += [nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)]
        layers += [nn.BatchNorm2d(outputs)] * norm + [rectifier()]
    model, x = nn.Sequential(*layers).eval(), torch.randn(2, 2, 5, 5)
    if rectifier in (nn.Tanh, nn.LeakyReLU):
        with pytest.raises(PlanError, match="no item ends in a rectifier"):
            plan_growth(netsmith.trace(model, x), deepen=count)
        return
    plan = plan_growth(netsmith.trace(model, x), deepen=count)
    grown = netsmith.apply(model, plan)
    assert len(inserted(plan)) == count and len(grown) == len(model) + count
    assert netsmith.verify(model, grown, plan, x)
    assert largest_difference(model, netsmith.apply(model.double(), plan), x) < 1e-9


def test_what_is_refused() -> None:
    wiring = netsmith.trace(mlp(), X)
    with pytest.raises(PlanError, match="behind '0' there is no place for an identity: it is no item, used once"):
        plan_identities(wiring, ["0"])
    with pytest.raises(UnknownNameError, match="where: '2' is no block of this model; blocks are '1', '4'"):
        plan_growth(wiring, deepen=1, where=["2"])
    torch.manual_seed(0)
    numbered, x = Listed(numbered=True).eval(), torch.randn(2, 2, 5)
    with pytest.raises(PlanError, match=r"with identities behind stages\.0 the model would be another"):
        plan_growth(netsmith.trace(numbered, x), deepen=1, where=["stages.0"])
    act = nn.ReLU()
    shared = nn.Sequential(nn.Linear(4, 6), act, nn.Linear(6, 6), act, nn.Linear(6, 3)).eval()
    assert places(netsmith.trace(shared, X)) == {}
    plan = plan_identities(wiring, ["1"])
    other = replace(plan, edits=(replace(plan.edits[0], like="head.weight"),))  # type: ignore[arg-type]
    with pytest.raises(PlanError, match=r"Sequential has no parameter 'head\.weight' of 6 units"):
        netsmith.apply(mlp(), other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": "conv4d"}, r"edits\.0\.layer: Input should be 'linear', 'conv1d', 'conv2d' or 'conv3d'"),
        ({"width": 0}, r"edits\.0\.width: Input should be greater than or equal to 1"),
        ({"like": "a.__class__"}, r"edits\.0\.like: .*special attribute"),
        ({"kernel": [2, 3]}, "contradicts itself: identity behind '2': the kernel of conv2d must be 2 odd numbers"),
        ({"kernel": [3]}, "the kernel of conv2d must be 2 odd numbers"),
        ({"limits": [1.0, 0.0]}, "the lower limit of its rectifier is not below the upper one"),
        ({"norm": -1.0}, r"edits\.0\.norm: Input should be greater than or equal to 0"),
    ],
)
def test_damaged_files_name_the_field(change: dict[str, object], message: str) -> None:
    record = plan_to_json(plan_identities(netsmith.trace(digits(), IMAGES), ["2"]))
    record["edits"][0].update(change)
    record.pop("checksum")
    with pytest.raises(FileError, match=message):
        plan_from_json(record | {"checksum": checksum(record)})
