"""Gradients against autograd's own, in bounded memory, and a model that is left as it was."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import netsmith
from netsmith.errors import EvidenceError, InputError
from netsmith.evidence import gradients
from small_networks import NETWORKS, mlp, network


def labelled(batches: int = 4, size: int = 8) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(3)
    return [
        (torch.randn(size, 6, generator=generator), torch.randint(0, 3, (size,), generator=generator))
        for _ in range(batches)
    ]


def wired() -> netsmith.Wiring:
    return netsmith.trace(*network("mlp"))


def by_hand(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
    named = dict(model.named_parameters())
    return dict(zip(named, torch.autograd.grad(F.cross_entropy(model(x), y), list(named.values())), strict=True))


def test_with_a_loss_they_are_autograds() -> None:
    wiring, data = wired(), labelled()
    found = gradients(wiring, data, F.cross_entropy)
    assert len(found) == 4
    for each, (x, y) in zip(found, data, strict=True):
        expected = by_hand(wiring.model, x, y)
        assert each.tensors.keys() == expected.keys() - {"4.bias"}  # lies on no axis that may change
        assert all(torch.allclose(g, expected[name], atol=1e-7) for name, g in each.tensors.items())


def test_batches_share_gradients_where_memory_is_short() -> None:
    wiring, data = wired(), labelled(5)
    size = 4 * sum(t.numel() for t in gradients(wiring, data[:1], F.cross_entropy)[0].tensors.values())
    two = gradients(wiring, data, F.cross_entropy, most_bytes=2 * size)
    assert len(two) == 2
    each = [by_hand(wiring.model, *batch)["0.weight"] for batch in data]
    assert torch.allclose(two[0].tensors["0.weight"], (each[0] + each[2] + each[4]) / 3, atol=1e-7)
    assert torch.allclose(two[1].tensors["0.weight"], (each[1] + each[3]) / 2, atol=1e-7)
    assert len(gradients(wiring, data, F.cross_entropy, most_bytes=1)) == 1


def test_a_larger_batch_counts_more_where_batches_share() -> None:
    wiring, ((x, y), *_) = wired(), labelled()
    parts = [(x[:6], y[:6]), (x[6:], y[6:])]
    (shared,) = gradients(wiring, parts, F.cross_entropy, most_bytes=1)
    assert torch.allclose(shared.tensors["2.weight"], by_hand(wiring.model, x, y)["2.weight"], atol=1e-7)


def test_without_labels_squares_are_the_fisher_diagonal() -> None:
    """Against the sum over all classes, weighted with what the model says of them."""
    wiring, x = wired(), torch.randn(1, 6, generator=torch.Generator().manual_seed(0))
    chances = wiring.model(x).softmax(-1)[0]
    exact = sum(p * by_hand(wiring.model, x, torch.tensor([c]))["2.weight"].square() for c, p in enumerate(chances))
    drawn = gradients(wiring, [x] * 500, most_examples=500)
    found = torch.stack([each.tensors["2.weight"].square() for each in drawn]).mean(0)
    assert torch.allclose(found, exact.detach(), rtol=0.25, atol=1e-5)
    mean = torch.stack([each.tensors["2.weight"] for each in drawn]).mean(0)
    assert float(mean.abs().max()) < 0.2 * float(exact.detach().max().sqrt())


def test_the_square_of_a_batch_is_that_of_its_examples_divided() -> None:
    wiring, x = wired(), torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    whole = gradients(wiring, [x] * 250, most_examples=1000)
    single = gradients(wiring, [part for _ in range(250) for part in x.split(1)], most_examples=1000)

    def squares(found: tuple) -> torch.Tensor:
        return torch.stack([each.tensors["2.weight"].square() for each in found]).mean(0)

    assert torch.allclose(4 * squares(whole), squares(single), rtol=0.35, atol=3e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_has_gradients_of_all_its_free_axes(name: str) -> None:
    model, x = network(name)
    wiring = netsmith.trace(model, x)
    (found,) = gradients(wiring, [x])
    for axis in wiring.free_axes:
        for rows in found.per_unit(axis):
            assert rows.shape[0] == axis.size and rows.isfinite().all()
        assert any(bool(rows.any()) for rows in found.per_unit(axis))


def test_outputs_that_are_no_classes_answer_to_noise() -> None:
    class Image(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(x).relu())

    x = torch.randn(2, 3, 5, 5)
    (found,) = gradients(netsmith.trace(Image(), x), [x])
    assert bool(found.tensors["a.weight"].any())


def test_the_same_seed_draws_the_same_labels() -> None:
    wiring, data = wired(), [x for x, _ in labelled()]
    one, two, other = (gradients(wiring, data, seed=s)[0].tensors["0.weight"] for s in (1, 1, 2))
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_padding_does_not_count() -> None:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = mlp()

        def forward(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return self.net(values)

    torch.manual_seed(0)
    model = Tagger()
    batch = {"values": torch.randn(2, 4, 6), "mask": torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]])}
    other = {**batch, "values": torch.where(batch["mask"][..., None] > 0, batch["values"], torch.tensor(50.0))}
    wiring = netsmith.trace(model, batch)
    one, two = (gradients(wiring, [b], mask=lambda x: x["mask"])[0].tensors["net.0.weight"] for b in (batch, other))
    assert torch.allclose(one, two, atol=1e-7) and bool(one.any())
    assert not torch.allclose(one, gradients(wiring, [other])[0].tensors["net.0.weight"], atol=1e-3)


class Failing(nn.Module):
    """Raises on its second real batch, in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.drop = mlp(), nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] == 5:
            raise ValueError("five is too many")
        return self.drop(self.net(x))


@pytest.mark.parametrize("bad", [False, True])
def test_the_model_is_as_before(bad: bool) -> None:
    model = Failing().train()
    model.net.eval()
    model.net[0].bias.requires_grad_(False)
    F.cross_entropy(model(torch.randn(3, 6)), torch.zeros(3, dtype=torch.long)).backward()
    before = {n: (p.requires_grad, None if p.grad is None else p.grad.clone()) for n, p in model.named_parameters()}
    values, modes = {n: t.clone() for n, t in model.state_dict().items()}, [m.training for m in model.modules()]
    wiring = netsmith.trace(model, torch.randn(3, 6))
    state = torch.get_rng_state()
    data = [
        torch.randn(3, 6, generator=torch.Generator()),
        torch.randn(5 if bad else 4, 6, generator=torch.Generator()),
    ]
    if bad:
        with pytest.raises(EvidenceError, match="forward raises on a batch of the data.*ValueError: five is too many"):
            gradients(wiring, data)
    else:
        with torch.no_grad():  # what the caller's program set does not matter
            assert bool(gradients(wiring, data)[0].tensors["net.0.bias"].any())
    assert torch.equal(state, torch.get_rng_state())
    assert modes == [m.training for m in model.modules()]
    assert all(torch.equal(values[n], t) for n, t in model.state_dict().items())
    for name, p in model.named_parameters():
        needed, gradient = before[name]
        assert p.requires_grad is needed
        assert (p.grad is None) if gradient is None else torch.equal(p.grad, gradient)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_progress() -> None:
    told: list[tuple[int, int, str]] = []
    gradients(wired(), labelled(3), F.cross_entropy, progress=lambda *a: told.append(a))
    assert told == [(1, 3, "gradients"), (2, 3, "gradients"), (3, 3, "gradients")]
    told.clear()
    gradients(wired(), iter(labelled(2)), F.cross_entropy, progress=lambda *a: told.append(a))
    assert told == [(1, 1, "gradients"), (2, 2, "gradients")]


def test_only_so_many_examples() -> None:
    wiring, ((x, y), *_) = wired(), labelled()
    found = gradients(wiring, [(x, y), (x, y)], F.cross_entropy, most_examples=11)
    assert torch.allclose(found[1].tensors["0.bias"], by_hand(wiring.model, x[:3], y[:3])["0.bias"], atol=1e-7)


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = mlp()

    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


def test_bad_input() -> None:
    wiring, data = wired(), labelled()
    with pytest.raises(InputError, match="wiring is a Sequential; give what trace"):
        gradients(wiring.model, data)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"loss='mse' is not callable; a loss is a function \(output, y\)"):
        gradients(wiring, data, "mse")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="data is a Tensor; give an iterable of batches"):
        gradients(wiring, data[0][0])
    with pytest.raises(InputError, match="most_examples=0 must be an int ≥ 1"):
        gradients(wiring, data, most_examples=0)
    with pytest.raises(EvidenceError, match="data is empty"):
        gradients(wiring, [])
    with pytest.raises(EvidenceError, match="batch 0 of data holds NaN"):
        gradients(wiring, [torch.full((2, 6), torch.nan)])
    with pytest.raises(EvidenceError, match=r"the loss raises on a batch of the data: TypeError.*\nIt is called with"):
        gradients(wiring, [data[0][0]], F.cross_entropy)  # no labels
    with pytest.raises(InputError, match=r"the loss returned \(8,\), expected one number"):
        gradients(wiring, data, lambda out, y: F.cross_entropy(out, y, reduction="none"))
    with pytest.raises(EvidenceError, match=r"batch 0 of data gives gradients that are not finite.*0\.weight"):
        gradients(wiring, data, lambda out, y: out.sum() * float("inf"))
    with pytest.raises(EvidenceError, match="does not depend on any parameter of a free axis: forward runs under no_g"):
        gradients(netsmith.trace(Detached(), data[0][0]), data)
    with pytest.raises(EvidenceError, match="of batch 0 depends on no parameter of a free axis"):
        gradients(wiring, data, lambda out, y: torch.ones(1, requires_grad=True).sum())
    with pytest.raises(InputError, match=r"mask gave \(8,\); it must give a tensor \(examples, positions\)"):
        gradients(wiring, data, mask=lambda x: torch.ones(8))


def test_infinite_outputs_are_named() -> None:
    wiring = wired()
    with torch.no_grad():
        wiring.model[4].bias[0] = torch.inf
    with pytest.raises(EvidenceError, match="the model's outputs are NaN or infinity on a batch"):
        gradients(wiring, [torch.ones(2, 6)])
