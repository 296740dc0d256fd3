"""Inserted blocks: what is zero, what follows in transformers models, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import netsmith
from block_networks import Placed, images, stacked
from netsmith.errors import PlanError, UnknownNameError
from netsmith.plans import plan_growth
from netsmith.plans.deepening import plan_insertion, repeatable

X = images(2)


def test_what_is_zero_and_what_moves() -> None:
    model = stacked()
    plan = plan_insertion(netsmith.trace(model, X), ["blocks.1"])
    (edit,) = plan.insertions
    assert edit.zeros == ("conv2.bias", "conv2.weight") and edit.numbers == ((":layer_index", 2),)
    assert plan.attributes == {"blocks.2:layer_index": (2, 3), "blocks.3:layer_index": (3, 4)}
    assert plan.place_behind("blocks.1") == "blocks.2"
    assert plan.renamed("blocks.2.conv1.weight") == "blocks.3.conv1.weight"
    grown = netsmith.apply(model, plan)
    assert torch.equal(grown(X), model(X)) and len(model.blocks) == 4
    assert torch.equal(grown.blocks[2].conv1.weight, model.blocks[1].conv1.weight)
    assert grown.blocks[2].conv1.weight is not grown.blocks[1].conv1.weight


def test_counted_and_indexed_layers_are_refused() -> None:
    for kind in ("counted", "indexed"):
        with pytest.raises(PlanError, match="with copies of layers.0 the model would be another"):
            plan_insertion(netsmith.trace(Placed(kind), torch.randn(2, 4)), ["layers.0"])
    with pytest.raises(UnknownNameError, match=r"'layers\.0' is no block"):  # it runs twice
        plan_insertion(netsmith.trace(Placed("shared"), torch.randn(2, 4)), ["layers.0"])
    with pytest.raises(UnknownNameError, match="'blocks.7' is no block"):
        plan_insertion(netsmith.trace(stacked(), X), ["blocks.7"])


class Blocks(nn.Module):
    """Blocks of one kind in an nn.Sequential, between linear layers."""

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.stem, self.blocks, self.head = nn.Linear(4, 6), nn.Sequential(kind(), kind()), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(F.relu(self.stem(x))))


class Scaled(nn.Module):
    """A layer scale is zeroed, not the matrix before it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear, self.gamma = nn.LayerNorm(6), nn.Linear(6, 6), nn.Parameter(torch.full((6,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gamma * F.gelu(self.linear(self.norm(x)))


class Rectified(nn.Module):
    """ReLU after the sum: an identity, because what comes in is not negative."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(6, 6), nn.BatchNorm1d(6)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.linear(x)) + x)


class Gated(nn.Module):
    """The shortcut goes through a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.linear(x))


class Normalized(nn.Module):
    """Normalized after the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(6, 6), nn.LayerNorm(6)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.linear(x))


def test_the_last_scale_is_zeroed() -> None:
    x = torch.randn(3, 4)
    for kind, zeros in [(Scaled, ("gamma",)), (Rectified, ("norm.bias", "norm.weight"))]:
        model = Blocks(kind).eval()
        plan = plan_insertion(netsmith.trace(model, x), ["blocks.0", "blocks.1"])
        assert plan.insertions[0].zeros == zeros
        assert torch.equal(netsmith.apply(model, plan)(x), model(x))


def test_what_is_no_identity_is_not_offered_and_says_why() -> None:
    for kind, why in [(Gated, "its input goes through mul"), (Normalized, "its input goes through layer_norm")]:
        found, left = repeatable(netsmith.trace(Blocks(kind).eval(), torch.randn(3, 4)))
        assert found == [] and why in left["blocks.0"].replace("__mul__", "mul")


transformers = pytest.importorskip("transformers")
INPUTS = {"input_ids": torch.arange(5, 21).reshape(2, 8)}
SMALL = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 3, "intermediate_size": 48, "num_attention_heads": 4}


def llama() -> nn.Module:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(num_key_value_heads=2, **SMALL))


def qwen() -> nn.Module:
    kinds = ["full_attention", "sliding_attention", "full_attention"]
    config = transformers.Qwen3Config(
        head_dim=8, layer_types=kinds, use_sliding_window=True, sliding_window=4, num_key_value_heads=2, **SMALL
    )
    return transformers.Qwen3ForCausalLM(config)


def gpt2() -> nn.Module:
    config = transformers.GPT2Config(n_embd=32, n_layer=3, n_head=4, vocab_size=64, bos_token_id=1, eos_token_id=2)
    return transformers.GPT2LMHeadModel(config)


@pytest.mark.parametrize("build", [llama, qwen, gpt2])
def test_transformers_count_number_and_cache_follow(build: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build().eval()
    plan = plan_growth(netsmith.trace(model, INPUTS), deepen=2)
    grown = netsmith.apply(model, plan)
    assert grown.config.num_hidden_layers == 5 and model.config.num_hidden_layers == 3
    assert torch.equal(grown(**INPUTS).logits, model(**INPUTS).logits)
    assert netsmith.verify(model, grown, plan, INPUTS)
    if build is qwen:
        assert len(grown.config.layer_types) == 5
        assert [layer.self_attn.layer_idx for layer in grown.model.layers] == list(range(5))
    ids = INPUTS["input_ids"][:1]
    plain = model.generate(ids, max_new_tokens=6, do_sample=False)
    for cached in (True, False):
        assert torch.equal(grown.generate(ids, max_new_tokens=6, do_sample=False, use_cache=cached), plain)
    grown.save_pretrained(tmp_path / "hf")
    again = type(grown).from_pretrained(tmp_path / "hf").eval()
    assert torch.equal(again(**INPUTS).logits, grown(**INPUTS).logits)
