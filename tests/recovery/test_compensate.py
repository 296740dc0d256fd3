"""Repair without training: exact where the removed units were redundant, better where not, and never a surprise."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import netsmith
from netsmith.data import batches, digits
from netsmith.errors import EvidenceError, InputError
from netsmith.plans import Plan
from netsmith.recovery import Repaired, compensate
from netsmith.training.finetune import finetune
from netsmith.wiring import Wiring, tensor_slots
from small_networks import NETWORKS, mlp, network, plan_keeping


def some(shape: tuple[int, ...], count: int = 4, seed: int = 5) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for _ in range(count)]


def gap(a: nn.Module, b: nn.Module, x: torch.Tensor) -> float:
    """Largest difference of the outputs, relative to the largest output."""
    with torch.no_grad():
        return float((a(x) - b(x)).abs().max() / a(x).abs().max())


def repaired(
    model: nn.Module, data: list, units: dict[str, tuple[int, ...]], **options
) -> tuple[Wiring, Plan, Repaired]:
    wiring = netsmith.trace(model, data[0])
    plan = plan_keeping(wiring, units)
    return wiring, plan, compensate(wiring, plan, data, **options)


# ------------------------------------------------------------------------------------- exact where units are redundant


def doubled_linear() -> tuple[nn.Module, list, dict]:
    torch.manual_seed(0)
    model = mlp()
    with torch.no_grad():
        model[0].weight[8:] = model[0].weight[:8]
        model[0].bias[8:] = model[0].bias[:8]
    return model, some((64, 6)), {"0.weight:0": tuple(range(8))}


def dependent_linear() -> tuple[nn.Module, list, dict]:
    """Without an activation between, 6 numbers in can only make 7 independent units; here 12 are kept of 16."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Linear(16, 3))
    return model, some((64, 6)), {"0.weight:0": tuple(range(0, 16, 2))}


def constant_unit() -> tuple[nn.Module, list, dict]:
    """A unit that always gives 2.5: the bias behind can do without it."""
    torch.manual_seed(0)
    model = mlp()
    with torch.no_grad():
        model[0].weight[3] = 0
        model[0].bias[3] = 2.5
    return model, some((64, 6)), {"0.weight:0": tuple(u for u in range(16) if u != 3)}


def doubled_channels() -> tuple[nn.Module, list, dict]:
    model, _ = network("residual")
    with torch.no_grad():
        for tensor in (model.conv1.weight, *model.bn1.parameters(), model.bn1.running_mean, model.bn1.running_var):
            tensor[6:] = tensor[:6]
    return model, some((8, 3, 6, 6)), {"conv1.weight:0": tuple(range(6))}


def doubled_grouped() -> tuple[nn.Module, list, dict]:
    """Within each of two groups, units 3, 4, 5 repeat 0, 1, 2, through a depthwise convolution as well."""
    model, _ = network("concatenated")
    with torch.no_grad():
        for tensor in (*model.grouped.parameters(), *model.depthwise.parameters()):
            pairs = tensor.reshape(2, 6, *tensor.shape[1:])
            pairs[:, 3:] = pairs[:, :3]
    return model, some((64, 3, 4, 4), 6), {"grouped.weight:0.1": (0, 1, 2)}


def doubled_branch() -> tuple[nn.Module, list, dict]:
    model, _ = network("concatenated")
    with torch.no_grad():
        model.left.weight[3:] = model.left.weight[:3]
        model.left.bias[3:] = model.left.bias[:3]
    return model, some((16, 3, 4, 4)), {"left.weight:0": (0, 1, 2)}


class StoredTransposed(nn.Module):
    """As transformers' Conv1D."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(into, out)), nn.Parameter(torch.randn(out))

    def forward(self, x):
        return torch.addmm(self.bias, x, self.weight)


def doubled_addmm() -> tuple[nn.Module, list, dict]:
    torch.manual_seed(0)
    model = nn.Sequential(StoredTransposed(6, 8), nn.ReLU(), StoredTransposed(8, 3))
    with torch.no_grad():
        model[0].weight[:, 4:] = model[0].weight[:, :4]
        model[0].bias[4:] = model[0].bias[:4]
    axis = next(a.name for a in netsmith.trace(model, torch.ones(2, 6)).free_axes)
    return model, some((64, 6)), {axis: (0, 1, 2, 3)}


REDUNDANT = [
    doubled_linear,
    dependent_linear,
    constant_unit,
    doubled_channels,
    doubled_grouped,
    doubled_branch,
    doubled_addmm,
]


@pytest.mark.parametrize("build", REDUNDANT)
def test_redundant_units_can_go_without_loss(build: Callable) -> None:
    model, data, units = build()
    model.eval()
    _, plan, done = repaired(model, data, units, strength=1e-8)
    fresh = some(tuple(data[0].shape), 1, seed=9)[0]
    plain = gap(model, netsmith.apply(model, plan).eval(), fresh)
    assert plain > 0.02  # they did matter
    assert gap(model, done.model, fresh) < 2e-3 < plain
    assert netsmith.verify(model, done.model, done.plan, fresh)


def test_what_was_refitted_is_in_the_plan_and_nothing_else_changed() -> None:
    model, data, units = doubled_channels()
    _, plan, done = repaired(model, data, units)
    plain = {s.name: s.tensor for s in tensor_slots(netsmith.apply(model, plan))}
    changed = {s.name for s in tensor_slots(done.model) if not torch.equal(s.tensor, plain[s.name])}
    assert changed <= done.plan.refitted
    assert "conv2.weight" in changed
    assert not {"stem.weight", "conv1.weight", "norm.weight"} & done.plan.refitted
    assert set(done.errors) >= {"conv2.weight"}
    assert done.errors["conv2.weight"][1] < done.errors["conv2.weight"][0]


# ---------------------------------------------------------------------------------------------- residual connections


def test_the_end_of_a_branch_corrects_what_the_shortcut_lost() -> None:
    """Units of the residual stream itself go: the branch is fitted towards the original's sum."""
    model, _ = network("residual")
    data = some((32, 3, 6, 6))
    units = {"stem.weight:0": (0, 2, 3, 5, 7)}
    _, plan, done = repaired(model, data, units)
    fresh = some((32, 3, 6, 6), 1, seed=9)[0]

    def stream(net: nn.Module) -> torch.Tensor:
        with torch.no_grad():
            x = F.relu(net.norm(net.stem(fresh)))
            return x + net.bn2(net.conv2(F.relu(net.bn1(net.conv1(x)))))

    wanted = stream(model)[:, list(units["stem.weight:0"])]
    before = float((stream(netsmith.apply(model, plan).eval()) - wanted).square().mean())
    after = float((stream(done.model) - wanted).square().mean())
    assert after < 0.7 * before
    assert gap(model, done.model, fresh) < gap(model, netsmith.apply(model, plan).eval(), fresh)


class Scaled(nn.Module):
    """The branch enters the sum with a factor, first or second."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = nn.Linear(6, 8), nn.Linear(8, 16), nn.Linear(16, 8), nn.Linear(8, 3)
        self.form = form

    def forward(self, x):
        x = self.a(x)
        branch = self.c(torch.relu(self.b(x)))
        if self.form == "second":
            x = torch.add(x, branch, alpha=0.25)
        elif self.form == "first":
            x = branch.add(x, alpha=0.25)
        elif self.form == "in place":
            branch += x
            x = branch
        elif self.form == "into the shortcut":
            x = x.add_(branch)
        else:
            x = x + branch
        return self.d(x)


@pytest.mark.parametrize("form", ["plain", "second", "first", "in place", "into the shortcut"])
def test_every_way_of_adding(form: str) -> None:
    torch.manual_seed(0)
    model = Scaled(form)
    with torch.no_grad():
        model.b.weight[8:] = model.b.weight[:8]
        model.b.bias[8:] = model.b.bias[:8]
    data = some((64, 6))
    _, plan, done = repaired(model, data, {"b.weight:0": tuple(range(8))}, strength=1e-8)
    fresh = some((64, 6), 1, seed=9)[0]
    assert gap(model, netsmith.apply(model, plan), fresh) > 0.01
    assert gap(model, done.model, fresh) < 1e-3


# -------------------------------------------------------------------------------------------- batch normalization


def test_a_normalization_takes_the_constant_and_the_true_statistics() -> None:
    model, data, units = doubled_channels()
    _, _, done = repaired(model, data, units, strength=1e-8)
    seen = {}
    done.model.bn2.register_forward_pre_hook(lambda module, args: seen.update(x=args[0]))
    with torch.no_grad():
        done.model(torch.cat(data[:3] if len(data) > 3 else data))
    assert torch.allclose(done.model.bn2.running_mean, seen["x"].mean((0, 2, 3)), atol=1e-3)
    assert torch.allclose(done.model.bn2.running_var, seen["x"].var((0, 2, 3), unbiased=False), rtol=1e-2, atol=1e-3)


def test_recomputing_the_statistics_afterwards_changes_little() -> None:
    """The parametrization is such that the true statistics give the same function."""
    model, data, units = doubled_channels()
    _, _, done = repaired(model, data, units, strength=1e-8)
    fresh, (before,) = data[0], [done.model(data[0]).detach()]
    norm = done.model.bn2
    norm.reset_running_stats()
    norm.momentum = None
    norm.train()
    with torch.no_grad():
        done.model(torch.cat(data[:3]))
    norm.eval()
    assert torch.allclose(done.model(fresh), before, rtol=0.05, atol=0.02 * float(before.abs().max()))


def test_a_channel_whose_gain_is_zero_keeps_its_weights() -> None:
    model, data, units = doubled_channels()
    with torch.no_grad():
        model.bn2.weight[2] = 0
        model.bn2.weight[4] *= -1
    _, plan, done = repaired(model, data, units, strength=1e-8)
    plain = netsmith.apply(model, plan)
    assert torch.equal(done.model.conv2.weight[2], plain.conv2.weight[2])
    gain = done.model.bn2.weight.tolist()
    assert gain[2] == 0 and gain[4] < 0
    assert gap(model, done.model, data[0]) < 2e-3


# ---------------------------------------------------------------------------------------------------- held-out rows


def test_a_refit_that_hurts_held_out_rows_is_undone() -> None:
    """On the batches that fit, a unit repeats its neighbour; on the last, which judges, it does the opposite."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(2))
        model[1].weight.copy_(torch.tensor([[1.0, 0.3]]))
    line = torch.linspace(-1, 1, 32)[:, None]
    same, opposite = torch.cat([line, line], 1), torch.cat([line, -4 * line], 1)
    units = {"0.weight:0": (0,)}
    _, _, fitted = repaired(model, [same] * 5, units)
    assert fitted.model[1].weight.item() == pytest.approx(1.3, abs=0.01)
    _, _, undone = repaired(model, [*[same] * 4, opposite], units)
    assert undone.model[1].weight.item() == 1.0
    assert undone.plan.refitted == frozenset()
    before, after = undone.errors["1.weight"]
    assert after > before


# --------------------------------------------------------------------------------------------------- side effects


@pytest.mark.parametrize("name", NETWORKS)
def test_the_original_its_modes_and_random_numbers_are_as_before(name: str) -> None:
    model, x = network(name)
    model.train()
    next(model.children()).eval()
    wiring = netsmith.trace(model, x)
    plan = netsmith.plan_removal(wiring, keep=0.5)
    modes = [m.training for m in model.modules()]
    before = {s.name: s.tensor.detach().clone() for s in tensor_slots(model)}
    state = torch.get_rng_state()
    done = compensate(wiring, plan, [x] * 5)
    assert torch.equal(state, torch.get_rng_state())
    assert modes == [m.training for m in model.modules()]
    assert all(torch.equal(before[s.name], s.tensor) and s.tensor.grad is None for s in tensor_slots(model))
    assert not any(m.training for m in done.model.modules())
    assert {n: p.requires_grad for n, p in done.model.named_parameters()} == {
        n: p.requires_grad for n, p in model.named_parameters()
    }
    assert netsmith.verify(model, done.model, done.plan, x)


def test_the_same_seed_gives_the_same_weights() -> None:
    model, _ = network("residual")
    wiring = netsmith.trace(model, torch.randn(2, 3, 6, 6))
    plan = netsmith.plan_removal(wiring, keep=0.5)
    data = some((8, 3, 6, 6))
    one, two, other = (compensate(wiring, plan, data, most_rows=200, seed=s).model for s in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert not torch.equal(one.conv2.weight, other.conv2.weight)


def test_progress_is_told() -> None:
    model, x = network("mlp")
    wiring = netsmith.trace(model, x)
    told: list = []
    compensate(wiring, netsmith.plan_removal(wiring, keep=0.5), [x], progress=lambda *step: told.append(step))
    assert told == [(1, 2, "2.weight"), (2, 2, "4.weight")]


def test_an_empty_plan_needs_no_data() -> None:
    model, x = network("mlp")
    wiring = netsmith.trace(model, x)
    done = compensate(wiring, netsmith.plan_removal(wiring, keep=1), [])
    assert done.errors == {} and torch.equal(done.model(x), model(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions(dtype: torch.dtype) -> None:
    model, data, units = doubled_linear()
    model, data = model.to(dtype), [x.to(dtype) for x in data]
    _, plan, done = repaired(model, data, units)
    assert {p.dtype for p in done.model.parameters()} == {dtype}
    assert gap(model, done.model, data[0]) < 0.3 * gap(model, netsmith.apply(model, plan), data[0])


def test_batches_of_different_sizes_with_labels_once_through() -> None:
    model, _, units = doubled_linear()
    data = ((x[:n], torch.zeros(n)) for n, x in zip((64, 10, 1, 33, 64), some((64, 6), 5), strict=True))
    wiring = netsmith.trace(model, torch.ones(2, 6))
    plan = plan_keeping(wiring, units)
    done = compensate(wiring, plan, data, strength=1e-8)
    assert gap(model, done.model, some((9, 6), 1)[0]) < 2e-3


# ------------------------------------------------------------------------------------------------------- bad inputs


def test_bad_data() -> None:
    model, x = network("mlp")
    wiring = netsmith.trace(model, x)
    plan = netsmith.plan_removal(wiring, keep=0.5)
    with pytest.raises(EvidenceError, match="data is empty"):
        compensate(wiring, plan, [])
    with pytest.raises(EvidenceError, match="batch 0 of data holds NaN or infinity"):
        compensate(wiring, plan, [x * torch.nan])
    with pytest.raises(InputError, match="data is a Tensor; give an iterable of batches"):
        compensate(wiring, plan, x)
    with pytest.raises(
        EvidenceError, match=r"(?s)raises on a batch of the data \(\(4, 7\) float32.*like the example inputs"
    ):
        compensate(wiring, plan, [torch.randn(4, 7)])
    assert not any(m.training for m in model.modules())


def test_a_forward_whose_path_follows_the_values() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 2)

        def forward(self, x):
            h = self.b(torch.relu(self.a(x)))
            if float(x.sum()) > 0:
                h = torch.tanh(h)
            return self.c(h)

    model = Gated()
    wiring = netsmith.trace(model, torch.ones(2, 4))
    plan = netsmith.plan_removal(wiring, keep=0.5)
    assert plan.edits
    compensate(wiring, plan, [torch.rand(3, 4)])
    with pytest.raises(EvidenceError, match="forward took another path than with the example inputs"):
        compensate(wiring, plan, [torch.rand(3, 4), -torch.rand(3, 4)])


# ------------------------------------------------------------------------------------------------------- real images


def test_accuracy_on_handwritten_digits() -> None:
    torch.manual_seed(0)
    splits = digits()
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 16, 10),
    )
    model = finetune(model, batches(splits.train, 64, shuffle=True), epochs=4, lr=0.1)

    def accuracy(net: nn.Module) -> float:
        with torch.no_grad():
            return float((net(splits.test.images).argmax(1) == splits.test.labels).float().mean())

    wiring = netsmith.trace(model, splits.test.images[:2])
    plan = netsmith.plan_removal(wiring, keep=0.4)
    done = compensate(wiring, plan, batches(splits.train, 64))
    original, plain, after = accuracy(model), accuracy(netsmith.apply(model, plan).eval()), accuracy(done.model)
    assert original > 0.94
    assert after > plain + 0.1 and after > original - 0.08, (original, plain, after)
    assert netsmith.verify(model, done.model, done.plan, splits.test.images[:2])


# ------------------------------------------------------------------------------------------------- behind a rectifier


def test_steps_towards_the_rectified_output_help_where_a_relu_follows() -> None:
    """Half of what the plain fit reproduces is cut off by the relu: the steps need not."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 24), nn.ReLU(), nn.Linear(24, 4))
    data = some((256, 8))
    units = {"0.weight:0": tuple(range(0, 32, 3))}
    _, _, plain = repaired(model, data, units, steps=0)
    _, _, refined = repaired(model, data, units, steps=6)

    def hidden(net: nn.Module) -> torch.Tensor:
        with torch.no_grad():
            return net[:4](torch.cat(some((256, 8), 2, seed=9)))

    wanted = hidden(model)
    before, after = ((hidden(done.model) - wanted).square().mean() for done in (plain, refined))
    assert after < 0.98 * before
    assert refined.errors["2.weight"][1] < plain.errors["2.weight"][1]
