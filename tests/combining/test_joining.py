"""Joining: one wider network gives the mean of several, whatever lies in between, or says why it cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import netsmith
from netsmith.combining import join
from netsmith.combining.joined_proof import check_mean
from netsmith.errors import InputError, ModelError
from netsmith.zoo import digits_resnet
from small_networks import Attention, Concatenated, Residual

models = pytest.importorskip("torchvision.models")


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 8), nn.Tanh(), nn.Linear(8, 4))


def vgg() -> nn.Module:
    network = models.VGG(models.vgg.make_layers([6, "M", 8, "M", 8], batch_norm=True), init_weights=False)
    network.classifier = nn.Sequential(nn.Linear(8 * 49, 12), nn.ReLU(), nn.Dropout(), nn.Linear(12, 5))
    return network


def plain_convolutions() -> nn.Module:
    norm = nn.GroupNorm(2, 6)
    return nn.Sequential(nn.Conv2d(3, 6, 3), norm, nn.ReLU(), nn.Conv2d(6, 4, 3), nn.Flatten(), nn.Linear(64, 3))


def mobilenet() -> nn.Module:
    block = models.mobilenetv2.InvertedResidual
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), block(8, 8, 1, 2), block(8, 12, 2, 2), nn.Conv2d(12, 4, 1)
    )


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (mlp, (3, 6)),
    "resnet": (lambda: digits_resnet(4), (2, 1, 8, 8)),
    "vgg": (vgg, (2, 3, 16, 16)),
    "plain convolutions and group norm": (plain_convolutions, (2, 3, 8, 8)),
    "mobilenet": (mobilenet, (2, 3, 8, 8)),
    "grouped": (Concatenated, (2, 3, 4, 4)),
    "densenet": (lambda: models.DenseNet(4, (2, 2), 8, num_classes=5), (1, 3, 32, 32)),
}


def trained(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """As after training: every tensor has values of its own."""
    torch.manual_seed(seed)
    model = build().eval()
    with torch.no_grad():
        for tensor in (*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())):
            tensor.add_(torch.rand_like(tensor), alpha=0.2)
    return model


def mean_of(members: list[nn.Module], x: Tensor, weights: tuple[float, ...]) -> Tensor:
    with torch.no_grad():
        return sum((w * member(x) for w, member in zip(weights, members, strict=True)), torch.zeros(()))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_outputs_are_the_mean(name: str) -> None:
    build, shape = NETWORKS[name]
    members, x = [trained(build, seed) for seed in range(2)], torch.randn(shape)
    before = [{k: v.clone() for k, v in m.state_dict().items()} for m in members]
    joined = join(members, x)
    other = 3 * torch.randn(shape)
    assert torch.allclose(joined.model(other), mean_of(members, other, (0.5, 0.5)), rtol=1e-4, atol=1e-5)
    assert joined.error < 1e-6
    assert joined.weights == (0.5, 0.5)
    assert type(joined.model) is type(members[0])
    assert netsmith.verify(members[0], joined.model, joined.plan, x)
    assert all(torch.equal(m.state_dict()[k], v) for m, b in zip(members, before, strict=True) for k, v in b.items())


def test_three_members_with_shares_of_their_own() -> None:
    members, x = [trained(mlp, seed) for seed in range(3)], torch.randn(5, 6)
    joined = join(members, x, weights=[1, 2, 5])
    assert joined.weights == (0.125, 0.25, 0.625)
    assert torch.allclose(joined.model(x), mean_of(members, x, joined.weights), atol=1e-6)


def test_in_training_mode_batch_statistics_stay_apart() -> None:
    members, x = [trained(lambda: digits_resnet(4), seed).train() for seed in range(2)], torch.randn(6, 1, 8, 8)
    joined = join(members, x)
    assert joined.model.training
    assert torch.allclose(joined.model(x), mean_of(members, x, (0.5, 0.5)), rtol=1e-3, atol=1e-4)


def test_half_precision_stays() -> None:
    members = [trained(mlp, seed).bfloat16() for seed in range(2)]
    joined = join(members, torch.randn(3, 6).bfloat16())
    assert {p.dtype for p in joined.model.parameters()} == {torch.bfloat16}
    assert 0 < joined.error < 1e-2  # the mean of two biases is rounded


def test_saved_and_loaded(tmp_path: Path) -> None:
    members, x = [trained(Residual, seed) for seed in range(2)], torch.randn(2, 3, 6, 6)
    joined = join(members, x)
    netsmith.save(joined.model, tmp_path / "both", plan=joined.plan)
    loaded = netsmith.load(tmp_path / "both", Residual)
    assert torch.equal(loaded(x), joined.model(x))


def test_joined_networks_are_pruned_like_others() -> None:
    members, x = [trained(Residual, seed) for seed in range(2)], torch.randn(2, 3, 6, 6)
    joined = join(members, x)
    plan = netsmith.plan_removal(netsmith.trace(joined.model, x), budget=netsmith.Budget(macs=0.5))
    small = netsmith.apply(joined.model, plan)
    assert netsmith.verify(members[0], small, plan.after(joined.plan), x)


@settings(max_examples=12, deadline=None)
@given(
    widths=st.lists(st.integers(2, 6), min_size=1, max_size=3),
    count=st.integers(2, 4),
    norm=st.booleans(),
    skip=st.booleans(),
    seed=st.integers(0, 100),
)
def test_random_networks(widths: list[int], count: int, norm: bool, skip: bool, seed: int) -> None:
    def build() -> nn.Module:
        layers: list[nn.Module] = []
        for into, out in zip([3, *widths], widths, strict=False):
            layers += [nn.Conv2d(into, out, 3, padding=1, bias=not norm), nn.BatchNorm2d(out) if norm else nn.SiLU()]
            layers += [Skip(out)] if skip else [nn.ReLU()]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 4))

    members, x = [trained(build, seed + k) for k in range(count)], torch.randn(2, 3, 5, 5)
    joined = join(members, x)
    assert torch.allclose(joined.model(x), mean_of(members, x, joined.weights), rtol=1e-4, atol=1e-4)


class Skip(nn.Module):
    """A depthwise convolution beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.own = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.own(x))


def test_a_normalization_over_units_is_refused_by_name() -> None:
    members = [trained(Attention, seed) for seed in range(2)]
    with pytest.raises(ModelError, match=r"normalized or averaged over units of all members.*\n  layer_norm in norm"):
        join(members, torch.randn(2, 7, 6))


def test_another_structure_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match=r"0.bias: \(9,\) in model 0, \(7,\) in model 1"):
        join([mlp(), nn.Sequential(nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 4))], torch.randn(3, 6))


def test_equal_tensors_in_another_network_are_refused_by_name() -> None:
    other = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 8), nn.Sigmoid(), nn.Linear(8, 4))
    with pytest.raises(ModelError, match=r"not give the mean.*\n.*\n  3 is a Sigmoid in model 1, Tanh in model 0"):
        join([mlp(), other], torch.randn(3, 6))
    strided = trained(Residual, 1)
    strided.conv1.stride, strided.conv2.stride = (2, 2), (1, 1)
    with pytest.raises(ModelError, match=r"conv1:stride\[0\] is 2 in model 1, 1 in model 0|outputs"):
        join([trained(Residual, 0), strided], torch.randn(2, 3, 6, 6))


def test_a_number_that_only_one_member_holds_is_named() -> None:
    members = [trained(Residual, seed) for seed in range(2)]
    members[1].norm.eps = 0.5
    with pytest.raises(ModelError, match=r"norm:eps is 0.5 in model 1, 1e-05 in model 0"):
        join(members, torch.randn(2, 3, 6, 6))


def test_a_hidden_layer_that_must_keep_its_width_is_refused() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.down = nn.Linear(4, 6), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.down(torch.relu(self.up(x)).reshape(-1, 2, 3).flip(1).reshape(-1, 6))

    with pytest.raises(ModelError, match="cannot be widened|not give the mean"):
        join([trained(Fixed, 0), trained(Fixed, 1)], torch.randn(2, 4))


@pytest.mark.parametrize(
    ("members", "weights", "message"),
    [
        ([mlp()], None, "1 models; give 2 to 64"),
        ([mlp(), mlp()], [1.0], "give one positive number each"),
        ([mlp(), mlp()], [1.0, 0.0], "leave out a model"),
        ([mlp(), 3], None, "a list of torch.nn.Module"),
    ],
)
def test_bad_input(members: list[nn.Module], weights: list[float] | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        join(members, torch.randn(2, 6), weights=weights)


def test_labels_have_no_mean() -> None:
    class Label(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own = mlp()

        def forward(self, x: Tensor) -> Tensor:
            return self.own(x).argmax(1)

    with pytest.raises(InputError, match="which has no mean"):
        join([Label(), Label()], torch.randn(2, 6))


def test_the_proof_sees_a_wrong_weight() -> None:
    members, x = [trained(mlp, seed) for seed in range(2)], torch.randn(3, 6)
    wrong = join(members, x).model
    with torch.no_grad():
        wrong[0].bias[0] += 0.1
    with pytest.raises(ModelError, match="the mean of the members' outputs: they differ by"):
        check_mean(wrong, members, (0.5, 0.5), x, lambda wide, members: None)
