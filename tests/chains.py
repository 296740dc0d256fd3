"""Chains of random edits of all kinds, for the tests of what was built apart and must work together."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import netsmith
from block_networks import Narrowing, Streamed, images, stacked
from netsmith.errors import NetsmithError
from netsmith.plans import (
    MergeBlocks,
    Plan,
    ReplaceBlock,
    plan_blocks,
    plan_fusion,
    plan_growth,
    plan_precision,
    plan_removal,
    plan_sparsity,
)
from netsmith.plans.deepening import repeatable
from netsmith.plans.depth import branch_removals, removals
from netsmith.wiring import call_model, tensor_slots
from netsmith.wiring.recorder import tensors_in
from netsmith.wiring.slots import int_slots
from netsmith.zoo.digits import digits_resnet
from small_networks import network

_SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}


def _transformer(kind: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        transformers = pytest.importorskip("transformers")
        more = {**_SMALL, "vocab_size": 64, "max_position_embeddings": 32}
        if kind == "llama":
            return transformers.LlamaForCausalLM(transformers.LlamaConfig(num_key_value_heads=2, **more))
        if kind == "bert":
            return transformers.BertForSequenceClassification(transformers.BertConfig(**more))
        return transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=64, n_embd=32, n_head=4, n_layer=3))

    return build


def _vit() -> nn.Module:
    timm = pytest.importorskip("timm")
    more = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 2, "num_classes": 5}
    return timm.create_model("vit_tiny_patch16_224", **more)


def _noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def _words() -> dict[str, Tensor]:
    return {"input_ids": torch.randint(0, 64, (2, 7), generator=torch.Generator().manual_seed(2))}


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[], Any]]] = {
    **{
        name: (lambda name=name: network(name)[0], lambda name=name: network(name)[1])
        for name in ("mlp", "residual", "concatenated", "attention", "tied", "recurrent")
    },
    "stacked": (stacked, lambda: images(2)),
    "streamed": (lambda: Streamed("pre", 3), lambda: _noise(2, 5, 3)),
    "narrowing": (Narrowing, lambda: _noise(2, 3, 8, 8)),
    "digits": (digits_resnet, lambda: _noise(2, 1, 8, 8)),
    "vit": (_vit, lambda: _noise(2, 3, 32, 32)),
    **{name: (_transformer(name), _words) for name in ("llama", "bert", "gpt2")},
}


def _prune(wiring: netsmith.Wiring, rng: random.Random) -> Plan:
    return plan_removal(wiring, keep=rng.choice([0.5, 0.75]), cut=rng.choice(["inside", "whole"]))


def _widen(wiring: netsmith.Wiring, rng: random.Random) -> Plan:
    return plan_growth(wiring, widen={"*": rng.choice([1.25, 1.5])}, seed=rng.randrange(9))


def _cut(wiring: netsmith.Wiring, rng: random.Random) -> Plan | None:
    plans, _ = removals(wiring)
    return rng.choice(list(plans.values())) if plans else None


def _branch(wiring: netsmith.Wiring, rng: random.Random) -> Plan | None:
    plans, _ = branch_removals(wiring)
    return rng.choice(list(plans.values())) if plans else None


def _replace(wiring: netsmith.Wiring, rng: random.Random) -> Plan | None:
    for block in rng.sample([b.name for b in wiring.blocks if b.residual], sum(b.residual for b in wiring.blocks)):
        for width in {p.shape[0] for p in wiring.model.get_submodule(block).parameters()}:
            for kind in rng.sample(["linear", "conv2d", "channels"], 3):
                try:
                    return plan_blocks(wiring, [ReplaceBlock(block, kind, width)])
                except NetsmithError:
                    continue
    return None


def _merge(wiring: netsmith.Wiring, rng: random.Random) -> Plan | None:
    for block in rng.sample([b.name for b in wiring.blocks if b.residual], sum(b.residual for b in wiring.blocks)):
        parent, _, name = block.rpartition(".")
        if name.isdecimal() and name != "0":
            how = rng.choice(["average", "differences", "first"])
            try:
                return plan_blocks(wiring, [MergeBlocks(block, True, (), f"{parent}.{int(name) - 1}", how)])
            except NetsmithError:
                continue
    return None


def _insert(wiring: netsmith.Wiring, rng: random.Random) -> Plan | None:
    return plan_growth(wiring, deepen=rng.choice([1, 2])) if repeatable(wiring)[0] else None


STEPS: dict[str, Callable[[netsmith.Wiring, random.Random], Plan | None]] = {
    "prune": _prune,
    "widen": _widen,
    "cut": _cut,
    "branch": _branch,
    "replace": _replace,
    "merge": _merge,
    "insert": _insert,
    "fuse": lambda wiring, rng: plan_fusion(wiring),
    "sparsify": lambda wiring, rng: plan_sparsity(wiring, share=0.4, scope="layer"),
    "integers": lambda wiring, rng: plan_precision(wiring, scheme="int8"),
}


@cache
def kinds(seed: int) -> tuple[str, ...]:
    """2 to 4 kinds of edits; integers only at the end."""
    rng = random.Random(seed)
    chosen = [rng.choice(list(STEPS)[:-1]) for _ in range(rng.randint(2, 4))]
    return (*chosen[:-1], "integers") if rng.random() < 0.3 else tuple(chosen)


def chained(
    model: nn.Module, x: Any, names: tuple[str, ...], seed: int = 0, *, trained: bool = False
) -> tuple[nn.Module, Plan]:
    """The model after one step of each kind where there is one, and the chain; ``trained``: values change between."""
    rng, now, whole = random.Random(seed), model, None
    for name in names:
        step = STEPS[name](netsmith.trace(now, x), rng)
        if step is None or not step.edits:
            continue
        now = netsmith.apply(now, step)
        if trained and name != "integers":
            step = step.with_refitted(_shaken(now, rng))
        whole = step if whole is None else step.after(whole)
    if whole is None:
        pytest.skip(f"none of {', '.join(names)} does anything here")
    return now, whole


@torch.no_grad()
def _shaken(model: nn.Module, rng: random.Random) -> list[str]:
    """Give a third of the parameters other values where they are not zero; their names."""
    slots = list(tensor_slots(model))
    names: list[str] = []
    for tensor in {id(s.tensor): s.tensor for s in slots if isinstance(s.tensor, nn.Parameter)}.values():
        if rng.random() < 0.3:
            tensor.mul_(1 + 0.01 * torch.rand(tensor.shape))
            names += [slot.name for slot in slots if slot.tensor is tensor]
    return names


@torch.no_grad()
def outputs(model: nn.Module, x: Any) -> list[Tensor]:
    return [t for t in tensors_in(call_model(model, x)) if t.is_floating_point()]


def same(left: list[Tensor], right: list[Tensor]) -> bool:
    return len(left) == len(right) and all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def portrait(model: nn.Module) -> tuple[Any, ...]:
    """All that must not change: structure, modes, numbers, values."""
    numbers = [(slot.key, str(slot.value)) for slot in int_slots(model)]
    values = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    return str(model), [m.training for m in model.modules()], numbers, values


def assert_unchanged(model: nn.Module, before: tuple[Any, ...]) -> None:
    now = portrait(model)
    assert now[:3] == before[:3]
    assert all(torch.equal(value, before[3][name]) for name, value in now[3].items())
