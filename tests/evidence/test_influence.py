"""The influence of blocks: equal to that of whole forwards with the block bypassed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import netsmith
from block_networks import Placed, Streamed, images, stacked
from netsmith.errors import EvidenceError, InputError, UnknownNameError
from netsmith.evidence import divergence
from netsmith.evidence.bypassing import bypassed
from netsmith.evidence.influence import block_influence, influence

DATA = [images(6)[:4], images(6)[4:]]  # batches of several sizes


def test_it_is_the_divergence_of_a_forward_that_bypasses_the_block() -> None:
    model = stacked()
    found = influence(netsmith.trace(model, images(1)), DATA)
    assert list(found) == ["blocks", "blocks.0", "blocks.1", "blocks.2", "blocks.3", "alone"]
    model.requires_grad_(False)
    reference = model(images(6))
    for name, value in found.items():
        with bypassed(model, {name: None}):
            assert value == pytest.approx(float(divergence(reference, model(images(6)))), rel=1e-4)
        assert value > 0


def test_progress_is_told() -> None:
    told: list[str] = []
    wiring = netsmith.trace(stacked(), images(1))
    influence(wiring, DATA, blocks=["alone"], progress=lambda done, of, name: told.append(f"{done}/{of} {name}"))
    assert told == ["1/1 alone"]


def test_blocks_of_keywords_and_of_the_models_input() -> None:
    model = Placed().eval().requires_grad_(False)
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    found = influence(netsmith.trace(model, x[:1]), [x])
    assert list(found) == ["layers.0", "layers.1", "layers.2"]
    reference = model(x)
    with bypassed(model, {"layers.0": None}):
        assert found["layers.0"] == pytest.approx(float(divergence(reference, model(x))), rel=1e-4)
    assert all(value > 0 for value in found.values())


def test_block_influence_is_one_minus_the_cosine() -> None:
    model = stacked()
    x = torch.relu(model.stem(images()))
    y = model.blocks[0](x)
    wanted = 1 - float(nn.functional.cosine_similarity(x, y, dim=1).mean())
    found = influence(netsmith.trace(model, images(1)), [images()], kind="cosine", blocks=["blocks.0"])
    assert found == {"blocks.0": pytest.approx(wanted, abs=1e-6)}
    assert block_influence(nn.Sequential(nn.Identity()), ["0"], [torch.randn(3, 4)])["0"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", ["divergence", "cosine", "taylor"])
def test_a_block_that_does_nothing_has_no_influence(kind: Any) -> None:
    model = stacked()
    with torch.no_grad():
        model.blocks[2].conv2.weight.zero_()
        model.blocks[2].conv2.bias.zero_()
    found = influence(netsmith.trace(model, images(1)), DATA, kind=kind)
    assert found["blocks.2"] == pytest.approx(0, abs=1e-6)
    assert min(value for name, value in found.items() if name != "blocks.2") > 1e-4


def test_the_mode_of_the_model_is_as_before() -> None:
    model = stacked().train()
    influence(netsmith.trace(model, images(1)), [images()])
    assert model.training and model.blocks[0].norm.training


def test_what_cannot_be_measured() -> None:
    wiring = netsmith.trace(stacked(), images(1))
    with pytest.raises(InputError, match="kind='fisher'; give one of divergence, cosine, taylor"):
        influence(wiring, DATA, kind="fisher")  # type: ignore[arg-type]
    with pytest.raises(InputError, match='kind="cosine" takes no loss; only "taylor" does'):
        influence(wiring, DATA, kind="cosine", loss=nn.functional.cross_entropy)
    with pytest.raises(UnknownNameError, match=r"'blocks\.7' is no block of this model; blocks are"):
        influence(wiring, DATA, blocks=["blocks.7"])
    with pytest.raises(EvidenceError, match="data is empty"):
        influence(wiring, [])
    with pytest.raises(EvidenceError, match="NaN or infinity"):
        influence(wiring, [images() * float("nan")])


@pytest.mark.parametrize("kind", ["divergence", "taylor"])
def test_branches_have_an_influence_too(kind: Any) -> None:
    model = Streamed("pre").eval()
    with torch.no_grad():
        model.layers[1].down.weight.zero_()
        model.layers[1].down.bias.zero_()
    names = ["layers.0", "layers.0.mix", "layers.1.down"]
    found = influence(netsmith.trace(model, torch.randn(1, 3)), [torch.randn(32, 3)], blocks=names, kind=kind)
    assert list(found) == names and found["layers.1.down"] == pytest.approx(0, abs=1e-7)
    assert found["layers.0"] > 1e-4 and found["layers.0.mix"] > 1e-4
    with pytest.raises(InputError, match=r"'layers\.0\.mix' is a branch"):
        influence(netsmith.trace(model, torch.randn(1, 3)), [torch.randn(32, 3)], blocks=names, kind="cosine")
