"""Configuration objects follow: a pruned transformers model is made again from its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import netsmith
from netsmith.wiring.construction import construction
from netsmith.wiring.slots import int_values

transformers = pytest.importorskip("transformers")
INPUTS = {"input_ids": torch.arange(5, 21).reshape(2, 8)}
SMALL = {"vocab_size": 64, "num_hidden_layers": 2, "hidden_size": 48, "intermediate_size": 96}


def bert() -> torch.nn.Module:
    config = transformers.BertConfig(num_attention_heads=4, **SMALL)
    return transformers.BertForSequenceClassification(config).eval()


def llama() -> torch.nn.Module:
    config = transformers.LlamaConfig(num_attention_heads=6, num_key_value_heads=2, use_cache=False, **SMALL)
    return transformers.LlamaForCausalLM(config).eval()


def gpt2() -> torch.nn.Module:
    config = transformers.GPT2Config(
        vocab_size=64, n_embd=48, n_head=4, n_layer=2, use_cache=False, bos_token_id=1, eos_token_id=2
    )
    return transformers.GPT2LMHeadModel(config).eval()


def halved(model: torch.nn.Module, **options: Any) -> tuple[netsmith.Plan, torch.nn.Module]:
    plan = netsmith.plan_removal(netsmith.trace(model, INPUTS), keep=0.5, **options)
    return plan, netsmith.apply(model, plan)


@pytest.mark.parametrize("build", [bert, llama, gpt2])
@pytest.mark.parametrize("cut", ["inside", "whole"])
def test_from_pretrained_gives_the_same_outputs(build: Any, cut: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build()
    plan, small = halved(model, cut=cut)
    assert netsmith.verify(model, small, plan, INPUTS)
    small.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(again(**INPUTS).logits, small(**INPUTS).logits)
    assert int_values(again) == int_values(small)


def test_generation_with_a_cache_still_works() -> None:
    torch.manual_seed(0)
    _, small = halved(llama())
    options: dict[str, Any] = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
    cached = small.generate(INPUTS["input_ids"], use_cache=True, **options)
    assert torch.equal(cached, small.generate(INPUTS["input_ids"], use_cache=False, **options))


def test_rotary_frequencies_are_left_alone() -> None:
    """The constructor would compute others for another head width."""
    model = llama()
    plan, small = halved(model)
    assert "model.rotary_emb.inv_freq" not in plan.layouts
    assert plan.attributes[":config.num_key_value_heads"] == (2, 1)
    assert torch.equal(small.model.rotary_emb.inv_freq, model.model.rotary_emb.inv_freq)


def test_widths_that_no_configuration_can_say_leave_it_alone() -> None:
    model = llama()
    plan, small = halved(model, ignore=("model.layers.0.mlp",))  # layers of different intermediate size
    assert not [key for key in plan.attributes if key.startswith(":config.")]
    assert small.config.intermediate_size == 96
    assert netsmith.verify(model, small, plan, INPUTS)


def test_the_callers_configuration_and_random_numbers_are_untouched() -> None:
    model = llama()
    before, state = model.config.to_dict(), torch.random.get_rng_state()
    found = construction(model).sizes
    assert any(c.name == "model.layers.0.mlp.up_proj.weight" and c.dim == 0 for c in found)
    assert model.config.to_dict() == before and torch.equal(torch.random.get_rng_state(), state)
    assert construction(torch.nn.Linear(2, 3)) is None
