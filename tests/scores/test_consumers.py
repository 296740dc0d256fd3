"""Which layers read an axis, and where."""

from __future__ import annotations

import pytest
import torch

import netsmith
from netsmith.errors import EvidenceError
from netsmith.evidence import activations
from netsmith.scores import Weights, wanda
from netsmith.scores.consumers import consumers_of
from small_networks import NETWORKS, network


@pytest.mark.parametrize("name", NETWORKS)
def test_columns_are_the_units_inputs(name: str) -> None:
    """Removing a unit's columns from the weight is what cutting the member's positions does."""
    model, x = network(name)
    wiring = netsmith.trace(model, x)
    found = activations(wiring, [x])
    seen = 0
    for axis in wiring.free_axes:
        for consumer in consumers_of(axis, Weights(wiring.tensors), found):
            seen += 1
            assert consumer.weight.shape[1] == consumer.inputs.mean.shape[1]
            assert torch.unique(consumer.columns).numel() == consumer.columns.numel()
            member = next(m for m in axis.members if found.layers.get(m.tensor) is consumer.inputs and m.dim == 1)
            for unit, positions in enumerate(member.positions):
                rows = wiring.tensors[member.tensor].detach().index_select(1, torch.tensor(positions))
                taken = consumer.weight[:, consumer.columns[unit]]
                assert torch.equal(rows.flatten().sort().values, taken.flatten().sort().values)
    assert seen or name == "recurrent"


def test_a_transposed_weight() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=30, n_positions=16)
    model = transformers.GPT2Model(config).eval()
    x = {"input_ids": torch.randint(0, 30, (2, 5))}
    wiring = netsmith.trace(model, x)
    found = activations(wiring, [x])
    axis = wiring.axis["h.0.mlp.c_fc.weight:1"]
    (consumer,) = consumers_of(axis, Weights(wiring.tensors), found)
    assert consumer.inputs.name == "addmm" and consumer.inputs.contracted == 0
    assert torch.equal(consumer.weight[0], model.h[0].mlp.c_proj.weight)
    assert consumer.columns.tolist() == [[u] for u in range(64)]


def test_a_normalization_behind_weighs_the_outputs() -> None:
    model, x = network("residual")
    wiring = netsmith.trace(model, x)
    (consumer,) = consumers_of(wiring.axis["conv1.weight:0"], Weights(wiring.tensors), activations(wiring, [x]))
    gain = model.bn2.weight / (model.bn2.running_var + model.bn2.eps).sqrt()
    assert torch.allclose(consumer.felt()[0].float(), (model.conv2.weight.flatten(1).T * gain).detach())


def test_activations_that_do_not_belong_here() -> None:
    model, x = network("mlp")
    wiring = netsmith.trace(model, x)
    axis, weights = wiring.axis["0.weight:0"], Weights(wiring.tensors)
    with pytest.raises(EvidenceError, match="activations is a dict; give netsmith.evidence.activations"):
        wanda(axis, weights, activations={})  # type: ignore[arg-type]
    narrow = torch.nn.Sequential(*[torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 10), *model[3:]])
    found = activations(netsmith.trace(narrow, x), [x])
    with pytest.raises(
        EvidenceError, match=r"activations of 2\.weight have 8 inputs, the weight has 16: they are of an"
    ):
        wanda(axis, weights, activations=found)
