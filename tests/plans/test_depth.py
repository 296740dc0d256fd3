"""Plans of blocks: what is proved, what is refused and why, and what follows in transformers models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import netsmith
from block_networks import Placed, images, stacked
from netsmith.errors import PlanError, UnknownNameError
from netsmith.plans import Plan, RemoveBlock, ReplaceBlock, plan_blocks
from netsmith.plans.depth import removals

X = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
INPUTS = {"input_ids": torch.arange(5, 21).reshape(2, 8)}
SMALL = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 3, "intermediate_size": 48, "num_attention_heads": 4}


def test_items_are_deleted_and_modules_replaced_by_identities() -> None:
    plans, left = removals(netsmith.trace(stacked(), images(1)))
    assert left == {}
    assert {name: plan.edits[0].delete for name, plan in plans.items() if isinstance(plan.edits[0], RemoveBlock)} == {
        "blocks": False, "blocks.0": True, "blocks.1": True, "blocks.2": True, "blocks.3": True, "alone": False
    }  # fmt: skip
    assert plans["blocks.1"].attributes == {"blocks.2:layer_index": (2, 1), "blocks.3:layer_index": (3, 2)}


def test_what_cannot_be_proved_is_not_offered_and_says_why() -> None:
    for kind, name, why in [
        ("indexed", "layers.1", "IndexError"),
        ("counted", "layers.1", "IndexError"),
        ("shared", "layers.1", ""),
        ("peeking", "layers.0", "must stay: the model reads what its tanh computes"),
    ]:
        plans, left = removals(netsmith.trace(Placed(kind), X))
        if why:
            assert name not in plans and why in left[name]
    plans, left = removals(netsmith.trace(Placed("shared"), X))
    assert "layers.0" not in plans and "layers.1" in plans


def test_unknown_and_unfit_edits() -> None:
    wiring = netsmith.trace(stacked(), images(1))
    with pytest.raises(UnknownNameError, match=r"'blocks\.9' is no block of this model; blocks are 'blocks', "):
        plan_blocks(wiring, [RemoveBlock("blocks.9")])
    with pytest.raises(PlanError, match=r"'alone' is no item of an nn\.Sequential"):
        plan_blocks(wiring, [RemoveBlock("alone")])
    with pytest.raises(PlanError, match=r"without layers\.0 the model would be another"):
        plan_blocks(netsmith.trace(Placed(), X), [ReplaceBlock("layers.0", "linear", 4)])  # it is called with keywords


def test_maps_start_as_identities() -> None:
    model = stacked()
    wiring = netsmith.trace(model, images(1))
    removed = netsmith.apply(model, plan_blocks(wiring, [RemoveBlock("blocks.1"), RemoveBlock("alone", False)]))
    mapped = netsmith.apply(
        model, plan_blocks(wiring, [ReplaceBlock("blocks.1", "conv2d", 6), ReplaceBlock("alone", "channels", 6)])
    )
    assert type(mapped.blocks[1]) is torch.nn.Conv2d and mapped.alone.groups == 6
    assert torch.allclose(mapped(images()), removed(images()), atol=1e-6)


transformers = pytest.importorskip("transformers")


def bert() -> torch.nn.Module:
    return transformers.BertForSequenceClassification(transformers.BertConfig(**SMALL))


def llama() -> torch.nn.Module:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(num_key_value_heads=2, **SMALL))


def qwen() -> torch.nn.Module:
    kinds = ["full_attention", "sliding_attention", "full_attention"]
    config = transformers.Qwen3Config(
        head_dim=8, layer_types=kinds, use_sliding_window=True, sliding_window=4, num_key_value_heads=2, **SMALL
    )
    return transformers.Qwen3ForCausalLM(config)


def gpt2() -> torch.nn.Module:
    config = transformers.GPT2Config(vocab_size=64, n_embd=32, n_head=4, n_layer=3, bos_token_id=1, eos_token_id=2)
    return transformers.GPT2LMHeadModel(config)


def t5() -> torch.nn.Module:
    config = transformers.T5Config(
        vocab_size=64, d_model=32, d_kv=8, d_ff=48, num_layers=3, num_heads=4, decoder_start_token_id=0
    )
    return transformers.T5ForConditionalGeneration(config)


def cut(build: Any, *blocks: str) -> tuple[torch.nn.Module, Plan, torch.nn.Module, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    model = build().eval()
    inputs = INPUTS | ({"decoder_input_ids": INPUTS["input_ids"]} if build is t5 else {})
    plan = plan_blocks(netsmith.trace(model, inputs), [RemoveBlock(name) for name in blocks])
    return model, plan, netsmith.apply(model, plan), inputs


@pytest.mark.parametrize(
    ("build", "blocks"),
    [
        (bert, ("bert.encoder.layer.1",)),
        (llama, ("model.layers.0",)),
        (llama, ("model.layers.0", "model.layers.2")),
        (qwen, ("model.layers.1",)),
        (qwen, ("model.layers.0",)),
        (gpt2, ("transformer.h.1",)),
        (t5, ("decoder.block.1",)),
        (t5, ("encoder.block.1", "decoder.block.2")),
    ],
)
def test_a_cut_transformer_is_made_again_and_generates(build: Any, blocks: tuple[str, ...], tmp_path: Path) -> None:
    model, plan, small, inputs = cut(build, *blocks)
    assert netsmith.verify(model, small, plan, inputs)
    small.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(again(**inputs).logits, small(**inputs).logits)
    if not small.can_generate():
        return
    options: dict[str, Any] = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    tokens = [
        each.generate(INPUTS["input_ids"], use_cache=use_cache, **options)
        for each, use_cache in ((small, True), (small, False), (again, True))
    ]
    assert torch.equal(tokens[0], tokens[1]) and torch.equal(tokens[0], tokens[2])


def test_the_configuration_follows() -> None:
    model, plan, small, _ = cut(qwen, "model.layers.0")
    assert plan.attributes[":config.num_hidden_layers"] == (3, 2)
    assert small.config.num_hidden_layers == 2
    assert small.config.layer_types == ["sliding_attention", "full_attention"]
    assert [layer.self_attn.layer_idx for layer in small.model.layers] == [0, 1]
    assert model.config.num_hidden_layers == 3 and len(model.config.layer_types) == 3


def test_a_configuration_inside_the_model_follows() -> None:
    class Wrapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = bert()

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.net(input_ids=tokens).logits

    model = Wrapped().eval()
    plan = plan_blocks(netsmith.trace(model, INPUTS["input_ids"]), [RemoveBlock("net.bert.encoder.layer.0")])
    assert plan.attributes["net:config.num_hidden_layers"] == (3, 2)
    small = netsmith.apply(model, plan)
    assert small.net.config.num_hidden_layers == 2 and model.net.config.num_hidden_layers == 3
    assert netsmith.verify(model, small, plan, INPUTS["input_ids"])


def test_encoder_and_decoder_have_counts_of_their_own() -> None:
    _, _, small, _ = cut(t5, "decoder.block.2")
    assert small.config.num_layers == 3 and small.config.num_decoder_layers == 2
    assert small.decoder.config.num_layers == 2 and small.encoder.config.num_layers == 3


def test_a_layer_that_others_lean_on_stays() -> None:
    with pytest.raises(PlanError, match=r"'encoder\.block\.0' must stay: encoder\.block\.1\.layer\.0\.SelfAttention "):
        cut(t5, "encoder.block.0")
