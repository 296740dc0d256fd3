"""Edits of several kinds one after the other: the chain is its steps, keeps its promises, comes back from a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import netsmith
from block_networks import images, stacked
from chains import CASES, assert_unchanged, chained, kinds, outputs, portrait, same
from netsmith.files import plan_from_json, plan_to_json
from netsmith.plans import MergeBlocks, RemoveBlock, plan_blocks, plan_fusion
from netsmith.plans.deepening import plan_insertion
from netsmith.plans.depth import branch_removals
from netsmith.wiring.wrapped import inner_tensors

_SEEDS = {"stacked": (0, 3, 4, 5), "streamed": (3, 4), "narrowing": (3, 5), "llama": (1, 4), "bert": (3,)}
RUNS = [(name, seed) for name in CASES for seed in _SEEDS.get(name, (5,))]
X = images(2)


@pytest.mark.parametrize(("name", "seed"), RUNS)
@pytest.mark.parametrize("trained", [False, True])
def test_a_random_chain(name: str, seed: int, trained: bool, tmp_path: Path) -> None:
    seed += 50 * trained
    torch.manual_seed(seed)
    build, inputs = CASES[name]
    model, x = build().train(seed % 2 == 0), inputs()
    before = portrait(model)
    edited, plan = chained(model, x, kinds(seed), seed, trained=trained)
    assert plan_from_json(plan_to_json(plan)) == plan
    again = netsmith.apply(model, plan)
    assert str(again) == str(edited) and portrait(again)[1:3] == portrait(edited)[1:3]
    assert {module.training for module in again.modules()} == {model.training}
    if not trained:
        for tensor, other in zip(again.state_dict().values(), edited.state_dict().values(), strict=True):
            pairs = zip(inner_tensors(tensor), inner_tensors(other), strict=True)
            assert all(torch.equal(a, b) for a, b in pairs)
    assert netsmith.verify(model, edited, plan, x).ok
    assert_unchanged(model, before)
    netsmith.save(edited, tmp_path / "m", plan=plan)
    assert same(outputs(netsmith.load(tmp_path / "m", build), x), outputs(edited.eval(), x))


@pytest.mark.parametrize(
    ("name", "steps"),
    [("llama", ("prune", "insert", "cut")), ("gpt2", ("insert", "merge")), ("llama", ("cut", "widen"))],
)
def test_generation_with_a_cache_is_generation_without(name: str, steps: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    build, inputs = CASES[name]
    model, x = build().eval(), inputs()
    edited, _ = chained(model, x, steps)
    layers = edited.model.layers if name == "llama" else edited.transformer.h
    attention = [layer.self_attn if name == "llama" else layer.attn for layer in layers]
    assert edited.config.num_hidden_layers == len(layers)
    assert [each.layer_idx for each in attention if hasattr(each, "layer_idx")] == [
        i for i, each in enumerate(attention) if hasattr(each, "layer_idx")
    ]
    settings = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    settings |= {"output_logits": True, "return_dict_in_generate": True}
    with torch.no_grad():
        with_cache, without = (edited.generate(**x, **settings, use_cache=use) for use in (True, False))
    assert torch.equal(with_cache.sequences, without.sequences)
    for left, right in zip(with_cache.logits, without.logits, strict=True):
        assert torch.allclose(left, right, atol=1e-5)


@torch.no_grad()
def test_layers_behind_a_silent_one_are_numbered_on() -> None:
    """Where attention was removed the others have moved up in the cache; a copy comes behind them there."""
    torch.manual_seed(0)
    build, inputs = CASES["llama"]
    model, x = build().eval(), inputs()
    plans, _ = branch_removals(netsmith.trace(model, x))
    silent = netsmith.apply(model, plans["model.layers.0.self_attn"])
    plan = plan_insertion(netsmith.trace(silent, x), ["model.layers.1"])
    edited = netsmith.apply(silent, plan)
    assert [each.self_attn.layer_idx for each in edited.model.layers[1:]] == [0, 1, 2]
    settings = {"max_new_tokens": 3, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    settings |= {"output_logits": True, "return_dict_in_generate": True}
    with_cache, without = (edited.generate(**x, **settings, use_cache=use) for use in (True, False))
    for left, right in zip(with_cache.logits, without.logits, strict=True):
        assert torch.allclose(left, right, atol=1e-5)


@torch.no_grad()
def test_copies_of_refitted_tensors_are_refitted() -> None:
    """The copy has the values that the block had then, not those that it has in the original."""
    model = stacked()
    first = plan_blocks(netsmith.trace(model, X), [RemoveBlock("blocks.0")])
    small = netsmith.apply(model, first)
    names = ["blocks.1.conv1.weight", "blocks.1.conv2.weight", "blocks.2.norm.bias"]
    for name in names:
        small.get_parameter(name).mul_(1.5)
    then = plan_insertion(netsmith.trace(small, X), ["blocks.1"])
    plan = then.after(first.with_refitted(names))
    assert plan.refitted == {
        "blocks.1.conv1.weight", "blocks.1.conv2.weight", "blocks.2.conv1.weight", "blocks.3.norm.bias"
    }  # fmt: skip
    assert netsmith.verify(model, netsmith.apply(small, then), plan, X).ok


@pytest.mark.parametrize("how", ["average", "differences", "first"])
@torch.no_grad()
def test_blocks_that_take_over_refitted_tensors_are_refitted(how: str) -> None:
    model = stacked()
    first = plan_blocks(netsmith.trace(model, X), [RemoveBlock("blocks.0")])
    small = netsmith.apply(model, first)
    small.blocks[2].conv1.weight.mul_(1.5)
    then = plan_blocks(netsmith.trace(small, X), [MergeBlocks("blocks.2", True, (), "blocks.1", how)])
    plan = then.after(first.with_refitted(["blocks.2.conv1.weight"]))
    assert plan.refitted == (set() if how == "first" else {"blocks.1.conv1.weight"})
    assert netsmith.verify(model, netsmith.apply(small, then), plan, X).ok


@pytest.mark.parametrize("training", [False, True])
def test_what_takes_a_place_is_in_the_mode_of_what_stood_there(training: bool) -> None:
    model = stacked().train(training)
    wiring = netsmith.trace(model, X)
    for plan in (plan_fusion(wiring), plan_blocks(wiring, [RemoveBlock("alone", delete=False)])):
        edited = netsmith.apply(model, plan)
        assert any(isinstance(module, nn.Identity) for module in edited.modules())
        assert {module.training for module in edited.modules()} == {training}
