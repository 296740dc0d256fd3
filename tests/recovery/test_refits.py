"""Which layers are fitted again, and towards what."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

import netsmith
from netsmith.recovery.refits import Refit, find_refits
from small_networks import Residual, network, plan_keeping


def refits(model: nn.Module, x: torch.Tensor, keep: float = 0.5, **options) -> dict[str, Refit]:
    wiring = netsmith.trace(model, x)
    plan = netsmith.plan_removal(wiring, keep=keep, **options)
    assert plan.edits
    return {refit.weight: refit for refit in find_refits(wiring, plan)}


def name_at(model: nn.Module, x: torch.Tensor, index: int) -> str:
    return netsmith.trace(model, x).calls[index].name


def test_layers_behind_a_removal_in_order() -> None:
    found = refits(*network("mlp"))
    assert list(found) == ["2.weight", "4.weight"]  # the first layer's input is as before
    assert found["2.weight"].bias == "2.bias"
    assert (found["2.weight"].norm, found["2.weight"].chain, found["2.weight"].target) == ((), (), -1)


def test_layers_before_any_removal_are_left_alone() -> None:

    model, x = network("mlp")
    wiring = netsmith.trace(model, x)
    plan = plan_keeping(wiring, {"2.weight:0": (0, 1)})
    assert [r.weight for r in find_refits(wiring, plan)] == ["4.weight"]


def test_a_residual_branch_is_fitted_towards_the_sum() -> None:
    model, x = network("residual")
    found = refits(model, x)
    assert list(found) == ["conv1.weight", "conv2.weight", "fc.weight"]
    branch = found["conv2.weight"]
    assert branch.norm == ("bn2.weight", "bn2.bias", "bn2.running_mean", "bn2.running_var")
    assert branch.epsilon == 1e-5
    assert [name_at(model, x, i) for i in branch.chain] == ["batch_norm"]
    assert name_at(model, x, branch.target) in ("add", "__add__")
    assert found["conv1.weight"].target == -1  # a relu follows, not a sum
    assert found["conv1.weight"].norm[0] == "bn1.weight"


def test_the_layer_that_runs_last_gets_the_sum() -> None:
    class Downsampled(Residual):
        """The shortcut has its own convolution, which runs after the branch."""

        def __init__(self) -> None:
            super().__init__()
            self.down = nn.Conv2d(8, 8, 1)

        def forward(self, x):
            x = F.relu(self.norm(self.stem(x)))
            out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            out += self.down(x)
            return self.fc(F.relu(out).mean((2, 3)))

    found = refits(Downsampled(), torch.randn(2, 3, 6, 6))
    assert found["conv2.weight"].target == -1
    assert found["down.weight"].target >= 0


def test_tied_and_reused_weights_are_left_alone() -> None:
    assert "head.weight" not in refits(*network("tied"))
    assert "encoder.weight" not in refits(*network("tied"))  # used a second time, transposed

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2)

        def forward(self, x):
            return self.c(self.b(torch.relu(self.b(self.a(x)))))

    assert list(refits(Twice(), torch.randn(2, 4))) == ["c.weight"]


class StoredTransposed(nn.Module):
    """As transformers' Conv1D."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(into, out)), nn.Parameter(torch.randn(out))

    def forward(self, x):
        return torch.addmm(self.bias, x, self.weight)


def test_addmm_right_behind_what_was_cut() -> None:
    model = nn.Sequential(nn.Linear(4, 8), StoredTransposed(8, 6), nn.ReLU(), StoredTransposed(6, 3))
    found = refits(model, torch.randn(5, 4))
    assert list(found) == ["1.weight", "3.weight"]
    assert found["1.weight"].bias == "1.bias"


def test_addmm_that_is_only_cut_at_its_output() -> None:
    model = nn.Sequential(StoredTransposed(4, 8), nn.ReLU(), StoredTransposed(8, 3))
    assert list(refits(model, torch.randn(5, 4))) == ["2.weight"]


def test_a_convolution_without_a_batch_dimension_is_left_alone() -> None:
    model = nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU(), nn.Conv2d(6, 4, 1))
    assert refits(model, torch.randn(3, 5, 5)) == {}


def test_a_chain_of_two_normalizations_is_no_target() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 1), nn.Conv2d(6, 2, 1)
            self.n1, self.n2 = nn.BatchNorm2d(6), nn.BatchNorm2d(6)

        def forward(self, x):
            x = self.a(x)
            return self.c(x + self.n2(self.n1(self.b(x))))

    assert refits(Twice(), torch.randn(2, 3, 4, 4))["b.weight"].target == -1


def test_an_empty_plan_has_nothing_to_refit() -> None:
    wiring = netsmith.trace(*network("mlp"))
    assert find_refits(wiring, netsmith.plan_removal(wiring, keep=1)) == ()


def test_a_rectifier_behind_tells_what_it_lets_through() -> None:
    layers = [
        nn.Linear(4, 6),
        nn.ReLU(),
        nn.Linear(6, 6),
        nn.ReLU6(),
        nn.Linear(6, 6),
        nn.Hardtanh(-2, 3),
        nn.Linear(6, 3),
    ]
    wiring = netsmith.trace(nn.Sequential(*layers).eval(), torch.randn(2, 4))
    refits = find_refits(wiring, netsmith.plan_removal(wiring, keep=0.5), makers=True)
    assert [r.limits for r in refits] == [(0.0, math.inf), (0.0, 6.0), (-2.0, 3.0), ()]
