"""Models as people have them: compiled, hooked, wrapped, parametrized, in half precision, in train mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import netsmith


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.c(torch.relu(self.b(torch.relu(self.a(x)))))
        return out


class LooksAtValues(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.a(x))
        if h.sum() > 0:
            h = torch.relu(self.b(h))
        out: torch.Tensor = self.c(h)
        return out


def with_part(change: Callable[[nn.Linear], Any]) -> nn.Module:
    model = Net()
    model.b = change(model.b)
    return model


def compiled_in_place() -> nn.Module:
    model = Net()
    model.compile(backend="eager")
    model(torch.zeros(2, 8))
    return model


def scaled_by_a_hook() -> nn.Module:
    model = Net()
    model.a.register_forward_hook(lambda module, args, out: out * 2)
    model.b.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    return model


MODELS: dict[str, Callable[[], nn.Module]] = {
    "torch.compile": lambda: torch.compile(Net(), backend="eager"),  # type: ignore[return-value]
    "a part under torch.compile": lambda: with_part(lambda b: torch.compile(b, backend="eager")),
    "Module.compile": compiled_in_place,
    "hooks that change values": scaled_by_a_hook,
    "weight_norm": lambda: with_part(parametrizations.weight_norm),
    "spectral_norm": lambda: with_part(parametrizations.spectral_norm),
    "weight_norm as a hook": lambda: with_part(nn.utils.weight_norm),
    "spectral_norm as a hook": lambda: with_part(nn.utils.spectral_norm),
    "DataParallel": lambda: nn.DataParallel(Net()),
    "half": lambda: Net().half(),
    "bfloat16": lambda: Net().bfloat16(),
    "forward looks at values": LooksAtValues,
}


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_unusual_models_are_pruned_exactly(name: str, train: bool) -> None:
    torch.manual_seed(0)
    model = MODELS[name]().train(train)
    x = torch.randn(2, 8, dtype=next(model.parameters()).dtype)
    wiring = netsmith.trace(model, x)
    plan = netsmith.plan_removal(wiring, keep=0.5)
    small = netsmith.apply(model, plan)
    verdict = netsmith.verify(model, small, plan, x)
    assert verdict, verdict
    assert len(plan.edits) == 2 and small.training is train and small(x).shape == (2, 4)
    small(x).sum().backward()


def test_a_path_that_follows_values_is_said() -> None:
    assert "forward looks at values" in str(netsmith.trace(LooksAtValues(), torch.randn(2, 8)))
    assert "looks at values" not in str(netsmith.trace(Net(), torch.randn(2, 8)))


def test_an_unchanged_layer_with_a_computed_weight_is_copied() -> None:
    """deepcopy refuses tensors with a history, as weight_norm's hook leaves them."""
    model = with_part(nn.utils.weight_norm)
    x = torch.randn(2, 8)
    plan = netsmith.plan_removal(netsmith.trace(model, x), keep=0.5, ignore=["b"])
    assert netsmith.apply(model, plan)(x).shape == (2, 4)


def test_a_weight_that_each_forward_computes_is_no_broken_promise() -> None:
    """verify used to compare the weight that weight_norm's hook had just computed with the original's."""
    model = with_part(nn.utils.weight_norm).eval()
    x = torch.randn(2, 8)
    plan = netsmith.plan_removal(netsmith.trace(model, x), keep=0.5)
    small = netsmith.apply(model, plan)
    small(x)
    assert netsmith.verify(model, small, plan, x)
    with torch.no_grad():
        small.b.weight_v.add_(1)
    assert not netsmith.verify(model, small, plan, x)


class KeepsATable(Net):
    """A tensor that the first forward puts in place of a smaller one (ConViT's relative positions)."""

    def __init__(self, buffer: bool) -> None:
        super().__init__()
        if buffer:
            self.register_buffer("table", torch.zeros(1), persistent=False)
        else:
            self.table = torch.zeros(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.table.shape[0] != x.shape[0]:
            self.table = torch.zeros(x.shape[0])
        return super().forward(x) + self.table[:, None]


@pytest.mark.parametrize("buffer", [False, True])
@pytest.mark.parametrize("run", ["neither", "original", "edited"])
def test_a_forward_that_replaces_a_tensor_changes_no_structure(run: str, buffer: bool) -> None:
    """The fingerprint counted such a tensor: after one forward the plan no longer fitted its own model."""
    model, x = KeepsATable(buffer).eval(), torch.randn(3, 8)
    plan = netsmith.plan_removal(netsmith.trace(model, x), keep=0.5)
    if run == "original":
        model(x)
    small = netsmith.apply(model, plan)
    if run == "edited":
        small(x)
    verdict = netsmith.verify(model, small, plan, x)
    assert verdict, verdict
