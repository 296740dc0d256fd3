"""Plans that drop branches: zeros in their place, and caches that still know which layer is which."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import netsmith
from netsmith.errors import FileError, PlanError, UnknownNameError
from netsmith.files import plan_from_json, plan_to_json
from netsmith.plans import Plan, RemoveBlock, RemoveBranch, plan_blocks

transformers = pytest.importorskip("transformers")

TOKENS = torch.arange(5, 21).reshape(2, 8)
SMALL = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 3, "intermediate_size": 48, "num_attention_heads": 4}


def llama(**more: Any) -> nn.Module:
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(num_key_value_heads=2, **SMALL | more)).eval()


def gpt2() -> nn.Module:
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=64, n_embd=32, n_head=4, n_layer=3, bos_token_id=1, eos_token_id=2)
    return transformers.GPT2LMHeadModel(config).eval()


def bert() -> nn.Module:
    torch.manual_seed(0)
    return transformers.BertForSequenceClassification(transformers.BertConfig(**SMALL)).eval()


def planned(model: nn.Module, *edits: str | RemoveBlock) -> tuple[Plan, nn.Module]:
    """Strings are branches."""
    wiring = netsmith.trace(model, {"input_ids": TOKENS})
    branches = {b.name: RemoveBranch(b.name, b.modules, b.returns) for b in wiring.branches}
    plan = plan_blocks(wiring, [branches[e] if isinstance(e, str) else e for e in edits])
    return plan, netsmith.apply(model, plan)


def generates_alike(model: nn.Module) -> bool:
    options: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    with_, without = (model.generate(TOKENS, use_cache=use, **options) for use in (True, False))
    return torch.equal(with_, without)


@pytest.mark.parametrize(
    ("build", "edits"),
    [
        (llama, ["model.layers.0.self_attn"]),
        (llama, ["model.layers.1.mlp", "model.layers.1.self_attn"]),
        (llama, ["model.layers.0.self_attn", RemoveBlock("model.layers.1")]),
        (gpt2, ["transformer.h.0.attn", "transformer.h.2.mlp"]),
        (bert, ["bert.encoder.layer.0.attention.output.dense", "bert.encoder.layer.2.output.dense"]),
    ],
)
def test_a_model_without_branches_is_what_was_promised(build: Any, edits: list[Any], tmp_path: Path) -> None:
    model = build()
    plan, small = planned(model, *edits)
    inputs = {"input_ids": TOKENS}
    assert netsmith.verify(model, small, plan, inputs)
    assert netsmith.measure(small, inputs).macs < netsmith.measure(model, inputs).macs
    assert plan_from_json(plan_to_json(plan)) == plan
    netsmith.save(small, tmp_path / "m", plan=plan)
    again = netsmith.load(tmp_path / "m", build)
    with torch.no_grad():
        assert torch.equal(again(**inputs).logits, small(**inputs).logits)
        assert torch.equal(copy.deepcopy(small)(**inputs).logits, small(**inputs).logits)
    if small.can_generate():
        assert generates_alike(small) and generates_alike(again)


def test_the_result_is_zero_and_costs_nothing() -> None:
    model = llama()
    _, small = planned(model, "model.layers.1.self_attn", "model.layers.1.mlp")
    layer = small.model.layers[1]
    assert not list(layer.self_attn.parameters()) and not list(layer.mlp.parameters())
    x = torch.randn(2, 8, 32)
    assert torch.equal(layer.mlp(x), torch.zeros(2, 8, 32))
    zeros, weights = layer.self_attn(hidden_states=x, attention_mask=None)
    assert torch.equal(zeros, torch.zeros(2, 8, 32)) and weights is None
    kinds = {type(m).__module__.split(".")[0] for m in small.modules()}
    assert kinds <= {"torch", "transformers"}  # nothing of netsmith stays in the model


def test_attentions_move_up_in_the_cache_also_when_cut_twice() -> None:
    model = llama(num_hidden_layers=4)
    plan, small = planned(model, "model.layers.1.self_attn")
    assert plan.attributes == {
        "model.layers.2.self_attn:layer_idx": (2, 1),
        "model.layers.3.self_attn:layer_idx": (3, 2),
    }
    again, smaller = planned(small, "model.layers.0.self_attn")
    assert again.attributes == {
        "model.layers.2.self_attn:layer_idx": (1, 0),
        "model.layers.3.self_attn:layer_idx": (2, 1),
    }
    assert generates_alike(smaller)
    assert netsmith.verify(model, smaller, again.after(plan), {"input_ids": TOKENS})


def test_a_cache_that_would_be_confused() -> None:
    with pytest.raises(PlanError, match=r"no layer would be left that has model\.layers\.\*\.self_attn:layer_idx"):
        planned(llama(), *(f"model.layers.{i}.self_attn" for i in range(3)))
    with pytest.raises(PlanError, match="a cache that counts by it would stay empty"):
        planned(llama(num_hidden_layers=1), "model.layers.0.self_attn")
    kinds = ["full_attention", "sliding_attention", "full_attention"]
    config = transformers.Qwen3Config(
        head_dim=8, layer_types=kinds, use_sliding_window=True, sliding_window=4, num_key_value_heads=2, **SMALL
    )
    model = transformers.Qwen3ForCausalLM(config).eval()
    with pytest.raises(PlanError, match="layer_types of the configuration says of each"):
        planned(model, "model.layers.0.self_attn")
    _, small = planned(model, "model.layers.2.self_attn", "model.layers.0.mlp")  # nothing moves up
    assert generates_alike(small)


def test_edits_that_fit_nothing() -> None:
    wiring = netsmith.trace(llama(), {"input_ids": TOKENS})
    with pytest.raises(UnknownNameError, match=r"'model\.layers\.9\.mlp' is no branch of this model; branches are 'mo"):
        plan_blocks(wiring, [RemoveBranch("model.layers.9.mlp", ("model.layers.9.mlp",), (0,))])
    with pytest.raises(PlanError, match=r"the branch 'model\.layers\.0\.mlp' is \('model\.layers\.0\.mlp',\), which r"):
        plan_blocks(wiring, [RemoveBranch("model.layers.0.mlp", ("model.layers.0.mlp",), (2,))])
    with pytest.raises(PlanError, match=r"an edited block lies inside 'model\.layers\.0', which is edited too"):
        planned(llama(), "model.layers.0.mlp", RemoveBlock("model.layers.0"))
    for modules, returns in ((("a",), (0,)), (("b", "a"), (0,)), ((), ())):
        with pytest.raises(PlanError, match="branch 'b' does not end its modules, or they are not as many as returns"):
            Plan((RemoveBranch("b", modules, returns),), {}, {}, {}, "")


def test_a_damaged_file() -> None:
    plan, _ = planned(llama(), "model.layers.1.mlp")
    record = plan_to_json(plan)
    record["edits"][0]["returns"] = [-1]
    with pytest.raises(FileError, match=r"edits\.0\.returns\.0"):
        plan_from_json(record)
