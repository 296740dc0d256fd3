"""Capture leaves nothing behind: not in the caller's model, not in torch, not in caches."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import netsmith
from netsmith.errors import CaptureError, ModelError
from netsmith.wiring import tensor_slots
from wiring.networks import CachedTable, Encoder, LooksAtValues, Residual, ThroughNumpy, TwoLayers, table


def state_of(model: nn.Module) -> dict[str, Any]:
    """Everything of a model that somebody might look at."""
    return {
        "tensors": [
            (s.name, id(s.tensor), s.tensor.detach().clone(), s.tensor.requires_grad) for s in tensor_slots(model)
        ],
        "modes": [m.training for m in model.modules()],
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in model.modules()],
        "attributes": [
            {k: (type(v), v) for k, v in vars(m).items() if isinstance(v, (int, float, str, tuple))}
            for m in model.modules()
        ],
    }


def same(before: Any, after: Any) -> bool:
    if isinstance(before, torch.Tensor):
        return torch.equal(before, after)
    if isinstance(before, (list, tuple)):
        return len(before) == len(after) and all(map(same, before, after))
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(same(before[k], after[k]) for k in before)
    return before == after


class Raises(TwoLayers):
    def between(self, y: torch.Tensor) -> torch.Tensor:
        raise KeyError("no such thing")


class Draws(TwoLayers):
    """Looks at values, so that it is run for real, and draws random numbers."""

    def between(self, y: torch.Tensor) -> torch.Tensor:
        return y + torch.rand(1) if y.sum().item() > 0 else y - torch.rand(1)


class Counts(TwoLayers):
    """Writes into its own state in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.register_buffer("seen", torch.zeros(32))

    def between(self, y: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.seen += y.sum(0)
        return y


@pytest.mark.parametrize("make", [Residual, Encoder, Raises, LooksAtValues, Draws, Counts, CachedTable])
def test_the_callers_model_and_torch_are_untouched(make: type) -> None:
    model = make().train()
    model.b.eval() if hasattr(model, "b") else None  # a mixture of modes must survive too
    x = model.example().requires_grad_()
    names = ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")
    functions = [getattr(F, name) for name in names]
    fast = torch.backends.mha.get_fastpath_enabled()
    before, random_numbers = state_of(model), torch.random.get_rng_state()
    given = x.detach().clone()
    if make is Raises:
        with pytest.raises(CaptureError):
            netsmith.trace(model, x)
    else:
        netsmith.trace(model, x)
    assert same(before, state_of(model))
    assert torch.equal(torch.random.get_rng_state(), random_numbers)
    assert [getattr(F, name) for name in names] == functions
    assert torch.backends.mha.get_fastpath_enabled() == fast
    assert torch.equal(x.detach(), given) and x.grad is None


def test_caches_do_not_remember_fake_tensors() -> None:
    table.cache_clear()
    model = CachedTable()
    netsmith.trace(model, model.example())
    assert type(table(32)) is torch.Tensor
    assert type(table.cache_parameters) and table(32).sum() == 32


@functools.lru_cache
def expensive(n: int) -> list[int]:
    return [n]


def test_caches_that_forward_does_not_touch_are_kept() -> None:
    kept = expensive(3)
    netsmith.trace(TwoLayers(), TwoLayers().example())
    assert expensive(3) is kept


def test_the_error_of_forward_is_told() -> None:
    with pytest.raises(CaptureError) as caught:
        netsmith.trace(Raises(), Raises().example())
    text = str(caught.value)
    assert "Raises.forward raises with the example inputs ((2, 16) float32)" in text
    assert "KeyError: 'no such thing'" in text and "the model has not been changed" in text
    assert isinstance(caught.value.__cause__, (KeyError, CaptureError))


def test_inputs_of_another_shape() -> None:
    with pytest.raises(CaptureError, match=r"\(2, 5\) float32"):
        netsmith.trace(TwoLayers(), torch.randn(2, 5))


@pytest.mark.parametrize("make", [LooksAtValues, ThroughNumpy])
def test_a_forward_that_looks_at_values_runs_on_real_ones(make: type) -> None:
    wiring = netsmith.trace(make(), make().example())
    assert not wiring.fake
    assert [axis.name for axis in wiring.free_axes] == ["a.weight:0"]
    assert netsmith.trace(TwoLayers(), TwoLayers().example()).fake


def test_on_meta() -> None:
    with torch.device("meta"):
        model = Residual()
    wiring = netsmith.trace(model, torch.empty(2, 3, 8, 8, device="meta"))
    real = netsmith.trace(Residual(), Residual().example())
    assert str(wiring) == str(real) and wiring.layouts == real.layouts
    assert all(p.is_meta for p in model.parameters())


def test_on_meta_a_forward_that_looks_at_values_is_refused() -> None:
    with torch.device("meta"):
        model = LooksAtValues()
    with pytest.raises(CaptureError, match="LooksAtValues.forward raises"):
        netsmith.trace(model, torch.empty(2, 16, device="meta"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype: torch.dtype) -> None:
    model = Residual().eval().to(dtype)
    x = model.example().to(dtype)
    wiring = netsmith.trace(model, x)
    plan = netsmith.plan_removal(wiring, keep=0.5)
    small = netsmith.apply(model, plan)
    assert plan.edits and {p.dtype for p in small.parameters()} == {dtype}
    assert netsmith.verify(model, small, plan, x).ok


class Wrapped(torch.Tensor):
    pass


def test_wrapped_parameters_are_refused() -> None:
    model = TwoLayers()
    model.a.weight = nn.Parameter(torch.randn(32, 16).as_subclass(Wrapped))
    with pytest.raises(
        ModelError, match=r"a.weight is a Wrapped; .*quantize or wrap the weights afterwards".replace(" .*", r"[\s\S]*")
    ):
        netsmith.trace(model, model.example())


class Uncopyable(TwoLayers):
    def __deepcopy__(self, memo: object) -> Any:
        raise RuntimeError("holds a lock")


def test_a_model_that_cannot_be_copied_is_refused() -> None:
    with pytest.raises(ModelError, match="cannot be copied with copy.deepcopy: RuntimeError: holds a lock"):
        netsmith.trace(Uncopyable(), Uncopyable().example())


class WithAuxiliaryHead(torch.nn.Module):
    """A branch that runs only in training, and whose normalization wants two examples."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.head = torch.nn.Linear(6, 8), torch.nn.Linear(8, 3)
        self.aux, self.norm, self.out = torch.nn.Linear(8, 10), torch.nn.BatchNorm1d(10), torch.nn.Linear(10, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        y = self.trunk(x)
        if self.training:
            return self.head(y), self.out(self.norm(self.aux(y)))
        return self.head(y)


def test_branches_of_the_training_forward_are_read_as_well() -> None:
    model, x = WithAuxiliaryHead().eval(), torch.randn(1, 6)
    wiring = netsmith.trace(model, x)
    assert {axis.name for axis in wiring.free_axes} == {"trunk.weight:0", "aux.weight:0"}
    assert [call.name for call in wiring.calls] == ["linear", "linear"]  # the calls of the eval forward alone
    plan = netsmith.plan_removal(wiring, keep=0.5)
    small = netsmith.apply(model, plan)
    assert netsmith.verify(model, small, plan, x)
    main, aux = small.train()(torch.randn(4, 6))
    assert main.shape == aux.shape == (4, 3) and small.aux.weight.shape == (5, 4)
