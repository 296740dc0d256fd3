"""Weights that are stored as integers are trained as they will be stored."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

import netsmith
from netsmith.data import batches, digits
from netsmith.plans import plan_precision, precision
from netsmith.recovery import round_weights
from netsmith.training import Training, distil, finetune, keep_zeros, train
from netsmith.training.rounding import parameters_of, with_integers, with_rounding
from netsmith.wiring.wrapped import dequantized, inner_tensors, is_wrapped
from small_networks import NETWORKS, network

pytest.importorskip("torchao")


@pytest.fixture(autouse=True)
def tiny_weights_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_SMALLEST", 1)


def stored(name: str, scheme: str) -> tuple[nn.Module, nn.Module, object, torch.Tensor]:
    model, x = network(name)
    plan = plan_precision(netsmith.trace(model, x), scheme=scheme, group=4)
    return model, netsmith.apply(model, plan).eval(), plan, x


def squares(model: nn.Module, x, y) -> torch.Tensor:
    return (model(x) - y).square().mean()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("scheme", ["int8", "int4", "dynamic-int8"])
def test_what_is_trained_is_what_is_stored(name: str, scheme: str) -> None:
    model, small, plan, x = stored(name, scheme)
    before = small(x).detach()
    floats = with_rounding(copy.deepcopy(small))
    # of an input between two integers, the last bit decides which it becomes
    close = 0.02 if scheme == "dynamic-int8" else 1e-4
    assert torch.allclose(floats(x), before, atol=close)  # to begin with, nothing changes
    loss = floats(x).square().sum()
    loss.backward()
    parameters = parameters_of(floats)
    with torch.no_grad():
        for edit in plan.precisions:
            weight = parameters[edit.tensor]
            assert weight.grad is not None and bool(weight.grad.any())
            weight -= 0.1 * weight.grad / weight.grad.abs().max()
        for module in floats.modules():
            if hasattr(module, "growth"):
                module.growth += 0.05 * torch.randn_like(module.growth)
    trained = floats(x).detach()
    values = {e.tensor: floats.get_submodule(e.tensor.rpartition(".")[0]).weight.detach() for e in plan.precisions}
    back = with_integers(floats)
    assert [type(m) for m in back.modules()] == [type(m) for m in small.modules()]
    for edit in plan.precisions:
        weight = back.get_parameter(edit.tensor)
        assert is_wrapped(weight) and not weight.requires_grad
        assert dequantized(weight).equal(values[edit.tensor].as_subclass(torch.Tensor))  # to the bit
        assert int(weight.qdata.abs().max()) <= 2 ** (edit.bits - 1)
    assert not torch.allclose(trained, before, atol=1e-3)
    assert torch.allclose(back(x), trained, atol=close * max(1, float(trained.abs().max())))
    assert netsmith.verify(model, back, plan.with_refitted(back.state_dict()), x).ok


def test_inputs_are_rounded_where_the_scheme_rounds_them() -> None:
    layer = nn.Sequential(nn.Linear(16, 8))
    x = torch.randn(4, 16)
    small = netsmith.apply(layer, plan_precision(netsmith.trace(layer, x), scheme="dynamic-int8")).eval()
    floats = with_rounding(copy.deepcopy(small))
    values = floats[0].weight.detach().as_subclass(torch.Tensor)
    x.requires_grad_()
    found = floats(x)
    found.sum().backward()
    assert torch.allclose(found, small(x.detach()), atol=1e-5)
    assert not torch.allclose(found, nn.functional.linear(x, values, layer[0].bias), atol=1e-3)
    assert x.grad is not None and torch.allclose(x.grad, values.sum(0).expand(4, 16), atol=1e-5)


def test_training_gives_integers_and_leaves_the_given_model() -> None:
    model, small, plan, x = stored("residual", "int4")
    kept = [part.clone() for p in small.parameters() for part in inner_tensors(p)]
    data = [torch.randn(16, *x.shape[1:]) for _ in range(4)]
    options = {"steps": 12, "lr": 0.3}
    first, second = (distil(small, model, data, **options) for _ in range(2))
    assert all(a.equal(b) for a, b in zip(kept, (q for p in small.parameters() for q in inner_tensors(p)), strict=True))
    for edit in plan.precisions:
        a, b = first.get_parameter(edit.tensor), second.get_parameter(edit.tensor)
        assert a.qdata.equal(b.qdata) and a.scale.equal(b.scale)
        assert not a.scale.equal(small.get_parameter(edit.tensor).scale)  # thresholds learn
        assert int(a.qdata.min()) >= -8 and int(a.qdata.max()) <= 7
    assert not first.conv1.weight.qdata.equal(small.conv1.weight.qdata)


def test_tied_weights_stay_tied() -> None:
    model, small, plan, x = stored("tied", "int4")
    done = distil(small, model, [torch.randint(0, 20, (8, 7))], steps=3)
    assert done.head.weight is done.embed.weight and is_wrapped(done.head.weight)
    assert netsmith.verify(model, done, plan.with_refitted(done.state_dict()), x).ok


def test_an_interrupted_run_ends_with_the_same_integers(tmp_path: Path) -> None:
    _, small, *_ = stored("mlp", "int4")
    data = [(torch.randn(8, 6), torch.randn(8, 3)) for _ in range(3)]

    def stop(done: int, total: int, said: dict[str, float]) -> None:
        if done == 4:
            raise KeyboardInterrupt

    options = {"steps": 9, "lr": 0.05, "checkpoint": tmp_path / "run", "checkpoint_every": 2}
    whole = train(small, data, squares, Training(steps=9, lr=0.05))
    with pytest.raises(KeyboardInterrupt):
        train(small, data, squares, Training(**options), progress=stop)
    again = train(small, data, squares, Training(**options, resume=True))
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert all(s.equal(t) for s, t in zip(inner_tensors(a), inner_tensors(b), strict=True))


def test_zeros_are_kept() -> None:
    model, x = network("mlp")
    with torch.no_grad():
        model[0].weight[:, ::2] = 0
    small = netsmith.apply(model, plan_precision(netsmith.trace(model, x), scheme="int8"))
    data, how = [(torch.randn(8, 6), torch.randn(8, 3))], Training(steps=5, lr=0.1)
    free = train(small, data, squares, how)
    kept = train(small, data, squares, how, after_step=[keep_zeros(small, ["0.weight"])])
    assert bool(free[0].weight.qdata[:, ::2].any()) and bool((kept[0].weight.qdata[:, ::2] == 0).all())
    assert not kept[0].weight.qdata.equal(small[0].weight.qdata)


def test_four_bits_gain_over_the_nearest_and_over_gptq() -> None:
    torch.manual_seed(0)
    splits = digits()
    loader = batches(splits.train, 64, shuffle=True)
    layers = [nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10)]
    model = finetune(nn.Sequential(nn.Flatten(), *layers), loader, epochs=8, lr=0.05)
    factors = torch.ones(32)
    factors[::8] = 16  # the same function, of ranges that differ from unit to unit: what four bits are bad at
    with torch.no_grad():
        for maker, reader in ((1, 3), (3, 5)):
            model[maker].weight.div_(factors[:, None])
            model[maker].bias.div_(factors)
            model[reader].weight.mul_(factors)
    wiring = netsmith.trace(model, splits.test.images[:2])
    plan = plan_precision(wiring, scheme="int4")
    nearest = netsmith.apply(model, plan).eval()
    gptq = round_weights(wiring, plan, list(splits.train.images.split(64))).model
    trained = finetune(gptq, loader, epochs=4, lr=0.02)

    def accuracy(each: nn.Module) -> float:
        with torch.no_grad():
            return float((each(splits.test.images).argmax(1) == splits.test.labels).float().mean())

    assert accuracy(nearest) + 0.2 < accuracy(gptq) < accuracy(trained) - 0.01
