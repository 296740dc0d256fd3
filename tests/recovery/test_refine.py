"""Layers fitted together come nearer to the original than one by one, and nothing else changes."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import netsmith
from netsmith.data import batches, digits
from netsmith.errors import EvidenceError, InputError
from netsmith.evidence import divergence
from netsmith.recovery import compensate, refine
from netsmith.training.finetune import finetune
from netsmith.wiring import tensor_slots
from netsmith.zoo import digits_resnet
from small_networks import NETWORKS, network, plan_keeping


def some(shape: tuple[int, ...], count: int = 6, seed: int = 5) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for _ in range(count)]


def error(original: nn.Module, edited: nn.Module, data: list) -> float:
    with torch.no_grad():
        return float(sum((original(x) - edited(x)).square().mean() for x in data))


def halves(wiring: netsmith.Wiring) -> netsmith.Plan:
    return netsmith.plan_removal(wiring, keep=0.5)


def inputs_like(x: torch.Tensor, count: int = 8) -> list[torch.Tensor]:
    if x.is_floating_point():
        return some((64, *x.shape[1:]), count)
    return [torch.randint(0, 20, (64, *x.shape[1:]), generator=torch.Generator().manual_seed(i)) for i in range(count)]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_stretch_comes_nearer_and_the_outputs_hardly_farther_or_nothing_changes(name: str) -> None:
    model, x = network(name)
    data = inputs_like(x)
    wiring = netsmith.trace(model, x)
    fitted = compensate(wiring, halves(wiring), data)
    refined = refine(wiring, fitted, data)
    assert all(after <= before for before, after in refined.errors.values())
    with torch.no_grad():
        before, after = (float(divergence(model(data[-1]), m(data[-1]))) for m in (fitted.model, refined.model))
    assert after <= 1.5 * before if refined.errors else after == before


def test_a_residual_block_gains_on_batches_never_seen() -> None:
    model, x = network("residual")
    data = inputs_like(x, 12)
    wiring = netsmith.trace(model, x)
    fitted = compensate(wiring, plan_keeping(wiring, {"conv1.weight:0": tuple(range(6))}), data[:8])
    refined = refine(wiring, fitted, data[:8])
    assert error(model, refined.model, data[8:]) < 0.8 * error(model, fitted.model, data[8:])


def test_units_that_stay_learn_what_the_removed_ones_did() -> None:
    """Each of four kept units sees half of what is needed; only together can two layers make it up."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 12, bias=False), nn.Linear(12, 3)).eval()
    data = some((256, 4))
    wiring = netsmith.trace(model, data[0])
    with torch.no_grad():
        model[0].weight[:3, 1:] = 0  # units that are kept all look at the same input
    fitted = compensate(wiring, plan_keeping(wiring, {"0.weight:0": (0, 1, 2)}), data)
    refined = refine(wiring, fitted, data, steps=40, strength=1e-6)
    assert error(model, refined.model, data) < 1e-2 * error(model, fitted.model, data)


def test_the_inputs_stay_as_they_were_and_the_same_seed_gives_the_same_weights() -> None:
    model, x = network("residual")
    data = some((8, *x.shape[1:]))
    wiring = netsmith.trace(model, x)
    fitted = compensate(wiring, halves(wiring), data)
    before, repaired = copy.deepcopy(model.state_dict()), copy.deepcopy(fitted.model.state_dict())
    state = torch.random.get_rng_state()
    model.train()
    first, second = (refine(wiring, fitted, data, seed=3) for _ in range(2))
    assert model.training and torch.equal(state, torch.random.get_rng_state())
    for held, now in ((before, model.state_dict()), (repaired, fitted.model.state_dict())):
        assert all(torch.equal(held[k], now[k]) for k in held)
    one, other = first.model.state_dict(), second.model.state_dict()
    assert all(torch.equal(one[k], other[k]) for k in one)
    assert [p.requires_grad for p in first.model.parameters()] == [p.requires_grad for p in model.parameters()]
    assert all(p.grad is None for p in first.model.parameters())


def test_the_plan_names_what_has_changed_and_verify_agrees() -> None:
    model, x = network("residual")
    data = some((8, *x.shape[1:]))
    wiring = netsmith.trace(model, x)
    fitted = compensate(wiring, halves(wiring), data)
    refined = refine(wiring, fitted, data)
    now = {slot.name: slot.tensor for slot in tensor_slots(refined.model)}
    then = {slot.name: slot.tensor for slot in tensor_slots(fitted.model)}
    changed = {name for name in now if not torch.equal(now[name], then[name])}
    assert changed and changed <= refined.plan.refitted
    assert netsmith.verify(model, refined.model, refined.plan, x).ok


def test_statistics_behind_the_layers_are_those_that_arrive() -> None:
    model, x = network("residual")
    data = some((32, *x.shape[1:]), count=9)
    wiring = netsmith.trace(model, x)
    refined = refine(wiring, compensate(wiring, halves(wiring), data), data)
    seen: list[torch.Tensor] = []
    hook = refined.model.bn1.register_forward_hook(lambda _m, args, _o: seen.append(args[0]))
    with torch.no_grad():
        refined.model(torch.cat(data[:7]))  # the last two of nine judge
    hook.remove()
    assert torch.allclose(refined.model.bn1.running_mean, seen[0].mean((0, 2, 3)), atol=1e-4)
    assert torch.allclose(refined.model.bn1.running_var, seen[0].var((0, 2, 3), correction=0), rtol=1e-3)


def test_half_precision_layers_are_left_alone() -> None:
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)).to(torch.bfloat16).eval()
    data = [x.to(torch.bfloat16) for x in some((64, 6))]
    wiring = netsmith.trace(model, data[0])
    fitted = compensate(wiring, halves(wiring), data)
    assert refine(wiring, fitted, data).errors == {}


class Overwriting(nn.Module):
    """Forward that no gradient can be taken of."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 12), nn.Linear(12, 12), nn.Linear(12, 3)

    def forward(self, x):
        x = torch.sigmoid(self.a(x))
        x += self.b(x)
        return self.c(x.mul_(2))


def test_what_cannot_be_differentiated_is_left_alone() -> None:
    torch.manual_seed(0)
    model, data = Overwriting().eval(), some((64, 6))
    wiring = netsmith.trace(model, data[0])
    fitted = compensate(wiring, halves(wiring), data)
    refined = refine(wiring, fitted, data)
    one, other = fitted.model.state_dict(), refined.model.state_dict()
    assert all(torch.equal(one[k], other[k]) for k in one if k[0] in "ab")


def test_empty_data_is_refused() -> None:
    model, x = network("residual")
    wiring = netsmith.trace(model, x)
    fitted = compensate(wiring, halves(wiring), some((8, *x.shape[1:])))
    with pytest.raises(EvidenceError, match="data is empty"):
        refine(wiring, fitted, [])


def test_on_trained_digits_outputs_never_seen_come_nearer() -> None:
    train, test = digits().train, digits().test
    model = finetune(digits_resnet(), batches(train, 64), epochs=3, lr=0.05)
    calibration = [x for x, _ in batches(train, 128)][:6]
    x = torch.cat([x for x, _ in batches(test, 128)])
    wiring = netsmith.trace(model, x[:1])
    fitted = compensate(wiring, netsmith.plan_removal(wiring, keep=0.3), calibration)
    refined = refine(wiring, fitted, calibration)
    with torch.no_grad():
        left = [float(divergence(model(x), m(x))) for m in (fitted.model, refined.model)]
    assert left[1] < 0.9 * left[0]


class Tokens(nn.Module):
    """Attention over tokens; what is padding no other token sees."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.up, self.down, self.head = nn.Linear(5, 8), nn.Linear(8, 24), nn.Linear(24, 8), nn.Linear(8, 4)

    def forward(self, x, attention_mask):
        x = self.embed(x)
        return self.head(x + self.down(torch.relu(self.up(x))))


def test_padding_does_not_count() -> None:
    """With nonsense in the padding, repair under the mask is as good as on data without padding."""
    torch.manual_seed(0)
    model, generator = Tokens().eval(), torch.Generator().manual_seed(1)
    real = torch.arange(6) < 3

    def batch(nonsense: float) -> dict[str, torch.Tensor]:
        x = torch.randn(64, 6, 5, generator=generator)
        return {"x": torch.where(real[:, None], x, nonsense * x.abs()), "attention_mask": real.long().expand(64, 6)}

    def left(done: nn.Module, batches: list) -> float:
        with torch.no_grad():
            return sum(float((model(**b) - done(**b))[:, :3].square().mean()) for b in batches)

    data, test = [batch(40.0) for _ in range(6)], [batch(0.0) for _ in range(2)]
    wiring = netsmith.trace(model, data[0])
    plan = plan_keeping(wiring, {"up.weight:0": tuple(range(0, 24, 3))})

    def counted(inputs):
        return inputs["attention_mask"]

    blind = refine(wiring, compensate(wiring, plan, data), data)
    seeing = refine(wiring, compensate(wiring, plan, data, mask=counted), data, mask=counted)
    assert left(seeing.model, test) < 0.5 * left(blind.model, test)
    with pytest.raises(InputError, match="attention_mask"):
        compensate(wiring, plan, data, mask=lambda inputs: "everything")
