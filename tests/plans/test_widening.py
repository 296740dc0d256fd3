"""Widening: the outputs stay, whatever is widened by how much; what cannot follow says why."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import netsmith
from netsmith.errors import InputError, PlanError, UnknownNameError
from netsmith.plans import Plan, WidenAxis
from netsmith.plans.sizing import changeable_axes
from netsmith.plans.widening import plan_widening
from small_networks import NETWORKS, network


def double(name: str) -> tuple[nn.Module, Tensor]:
    model, x = network(name)
    return model.double(), x.double() if x.is_floating_point() else x


def gap(left: Tensor, right: Tensor) -> float:
    return float(((left - right).abs().max() / left.abs().max()).detach())


@pytest.mark.parametrize("name", sorted(set(NETWORKS) - {"tied"}))
def test_any_widths_leave_the_outputs(name: str) -> None:
    model, x = double(name)
    wiring = netsmith.trace(model, x)
    names = changeable_axes(wiring, cut="whole")
    expected = model(x)

    @settings(max_examples=6, deadline=None, derandomize=True)
    @given(st.fixed_dictionaries({n: st.floats(1, 3) for n in names}), st.integers(0, 3))
    def check(factors: dict[str, float], seed: int) -> None:
        plan = plan_widening(wiring, factors, seed)
        grown = netsmith.apply(model, plan)
        assert gap(expected, grown(x)) < 1e-9
        if name == "recurrent":  # the layers of an LSTM have one width, whatever is asked for
            assert set(plan.left.values()) <= {"forward demands sizes that contradict it"}
            return
        assert not plan.left
        for edit in plan.widenings:
            assert len(edit.source) >= round(edit.size * factors[edit.axis])

    check()


def test_everything_widens_and_copies_can_part() -> None:
    for name in sorted(set(NETWORKS) - {"tied"}):
        model, x = double(name)
        plan = plan_widening(netsmith.trace(model, x), {"*": 1.5})
        assert plan.widenings and not plan.left
        for edit in plan.widenings:
            copied = {u for u in edit.source if edit.source.count(u) > 1}
            shares = [s for u, s in zip(edit.source, edit.share, strict=True) if u in copied]
            assert len(set(shares)) == len(shares)
        assert netsmith.verify(model, netsmith.apply(model, plan), plan, x)


def test_by_hand() -> None:
    model, x = double("mlp")
    plan = plan_widening(netsmith.trace(model, x), {"0.weight:0": 20})
    (edit,) = plan.widenings
    assert (edit.axis, edit.size, edit.divided) == ("0.weight:0", 16, (("2.weight", 1),))
    grown = netsmith.apply(model, plan)
    source, share = torch.tensor(edit.source), torch.tensor(edit.share, dtype=torch.float64)
    assert edit.source[:16] == tuple(range(16)) and len(edit.source) == 20
    assert torch.equal(grown[0].weight, model[0].weight[source])
    assert torch.equal(grown[0].bias, model[0].bias[source])
    assert torch.equal(grown[2].weight, model[2].weight[:, source] * share)
    assert torch.equal(grown[2].bias, model[2].bias)
    assert (grown[0].out_features, grown[2].in_features) == (20, 20)


def test_under_a_normalization_every_unit_has_as_many_copies() -> None:
    model, x = double("attention")
    plan = plan_widening(netsmith.trace(model, x), {"embed": 1.2, "qkv": 1.5})
    sizes = {edit.axis: len(edit.source) for edit in plan.widenings}
    assert sizes == {"embed.weight:0": 24, "qkv.weight:0.1": 6}  # 12 -> 14.4 -> 24; whole heads: 4 -> 6
    grown = netsmith.apply(model, plan)
    assert grown.num_heads == 6 and grown.head_dim == 4
    assert gap(model(x), grown(x)) < 1e-9


def test_what_would_change_the_outputs_is_left_and_says_why() -> None:
    model, x = double("tied")
    plan = plan_widening(netsmith.trace(model, x), {"*": 2.0})
    assert plan.edits == ()
    assert "its copies would change the result" in plan.left["encoder.weight:0"]

    class Softmax(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.mid, self.down = nn.Linear(4, 6), nn.Linear(6, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.down(self.mid(self.up(x).softmax(-1)).relu())

    torch.manual_seed(0)
    plan = plan_widening(netsmith.trace(Softmax(), torch.randn(3, 4)), {"*": 2.0})
    assert [edit.axis for edit in plan.widenings] == ["mid.weight:0"]
    assert "its copies would change the result: linear in mid" in plan.left["up.weight:0"] or (
        "its copies would change the result: softmax" in plan.left["up.weight:0"]
    )


def test_frozen_axes_named_by_their_name_say_why() -> None:
    model, x = double("mlp")
    plan = plan_widening(netsmith.trace(model, x), {"4.weight:0": 2.0, "0": 2.0})
    assert [edit.axis for edit in plan.widenings] == ["0.weight:0"]
    assert "a dimension of the model's output" in plan.left["4.weight:0"]


def test_same_seed_same_plan() -> None:
    model, x = double("residual")
    wiring = netsmith.trace(model, x)
    state = torch.random.get_rng_state()
    assert plan_widening(wiring, {"*": 1.5}, 3) == plan_widening(wiring, {"*": 1.5}, 3)
    assert plan_widening(wiring, {"*": 1.5}, 3) != plan_widening(wiring, {"*": 1.5}, 4)
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_model_on_meta() -> None:
    model, x = network("residual")
    plan = plan_widening(netsmith.trace(model, x), {"*": 2.0})
    empty = model.to("meta")
    assert plan_widening(netsmith.trace(empty, x.to("meta")), {"*": 2.0}).edits == plan.edits
    assert netsmith.apply(empty, plan).conv1.weight.shape == (24, 16, 3, 3)


@pytest.mark.parametrize(
    ("widths", "error", "message"),
    [
        ({}, InputError, "give a mapping from names or patterns"),
        ({"*": 0.5}, InputError, r"the factor 0\.5 of '\*' is not in 1\.\.64"),
        ({"0.weight:0": 2}, InputError, r"'0\.weight:0' has 16 units, .* write 2\.0 for a factor"),
        ({"*": "2"}, InputError, "give a factor"),
        ({"layer9": 2.0}, UnknownNameError, r"'layer9' matches no axis; axes are '0\.weight:0', '2\.weight:0'"),
    ],
)
def test_what_is_refused(widths: dict[str, float], error: type[Exception], message: str) -> None:
    model, x = network("mlp")
    with pytest.raises(error, match=message):
        plan_widening(netsmith.trace(model, x), widths)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": (0, 1, 1, 1)}, "source must name each unit"),
        ({"share": (1.0, 1.0, 0.5, 0.4)}, "must be positive and add up to 1"),
        ({"size": 2}, "size 2 disagrees"),
        ({"divided": (("b", 0),)}, "does not lie in dimension 0 of 'b'"),
    ],
)
def test_plans_that_contradict_themselves(change: dict, message: str) -> None:
    fields = {"axis": "a", "size": 3, "source": (0, 1, 2, 2), "share": (1.0, 1.0, 0.5, 0.5), "divided": (("w", 1),)}
    layouts = {"w": ((5,), ("a",)), "b": ((5,),)}
    Plan((WidenAxis(**fields),), {"a": 3}, layouts, {}, "0")
    with pytest.raises(PlanError, match=message):
        Plan((WidenAxis(**{**fields, **change}),), {"a": 3}, layouts, {}, "0")


transformers = pytest.importorskip("transformers")
INPUTS = {"input_ids": torch.arange(5, 21).reshape(2, 8)}
SMALL = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48, "num_attention_heads": 4}


def bert() -> nn.Module:
    return transformers.BertForSequenceClassification(transformers.BertConfig(**SMALL))


def llama() -> nn.Module:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(num_key_value_heads=2, **SMALL))


def gpt2() -> nn.Module:
    config = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=64, bos_token_id=1, eos_token_id=2)
    return transformers.GPT2LMHeadModel(config)


@pytest.mark.parametrize("build", [bert, llama, gpt2])
def test_transformers_double(build, tmp_path) -> None:
    torch.manual_seed(0)
    model = build().eval()
    wiring = netsmith.trace(model, INPUTS)
    plan = plan_widening(wiring, {"*": 2.0})
    grown = netsmith.apply(model, plan)
    assert gap(model(**INPUTS).logits, grown(**INPUTS).logits) < 1e-4
    assert netsmith.verify(model, grown, plan, INPUTS)
    heads = [len(e.source) for e in plan.widenings if "attn" in e.axis or "attention" in e.axis]
    assert heads and all(n in (4, 8) for n in heads)  # key-value groups of the llama: 2 -> 4
    if build is not gpt2:  # its stream is tied to the output layer, which contracts it
        assert not plan.left
        grown.save_pretrained(tmp_path / "hf")
        again = type(grown).from_pretrained(tmp_path / "hf").eval()
        assert torch.equal(again(**INPUTS).logits, grown(**INPUTS).logits)
        assert again.config.hidden_size == 64
