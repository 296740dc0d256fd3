"""Surgery on a copy: tensors, attributes, ties, modes; and the original as it was."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import netsmith
from netsmith.errors import InputError, ModelError, PlanError
from netsmith.plans.sizing import changeable_axes, solve
from netsmith.wiring import fingerprint, tensor_slots
from small_networks import NETWORKS, Residual, Tied, mlp, network, plan_keeping


def snapshot(model: nn.Module) -> tuple:
    return (
        {slot.name: (id(slot.tensor), slot.tensor.detach().clone()) for slot in tensor_slots(model)},
        repr(model),
        [m.training for m in model.modules()],
    )


def same(before: tuple, after: tuple) -> bool:
    return before[1:] == after[1:] and all(
        before[0][n][0] == after[0][n][0] and torch.equal(before[0][n][1], after[0][n][1]) for n in before[0] | after[0]
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_any_units_may_stay_and_the_original_is_untouched(name: str) -> None:
    model, x = network(name)
    wiring = netsmith.trace(model, x)
    names = changeable_axes(wiring)
    expected = model(x)

    @settings(max_examples=4, deadline=None, derandomize=True)
    @given(st.fixed_dictionaries({n: st.permutations(range(wiring.sizes[n])) for n in names}), st.data())
    def check(order: dict[str, list[int]], data: st.DataObject) -> None:
        sizing = solve(wiring, {n: data.draw(st.integers(1, wiring.sizes[n])) for n in names})
        units = {n: tuple(sorted(order[n][: sizing.sizes[n]])) for n in names}
        plan = plan_keeping(wiring, {n: kept for n, kept in units.items() if len(kept) < wiring.sizes[n]})
        before = snapshot(model)
        edited = netsmith.apply(model, plan)
        assert same(before, snapshot(model))
        assert edited(x).shape == expected.shape
        tensors = {slot.name: slot.tensor for slot in tensor_slots(edited)}
        for slot in tensor_slots(model):
            kept = slot.tensor.detach()
            for dim, positions in (plan.kept(slot.name) if slot.name in plan.layouts else {}).items():
                kept = kept.index_select(dim, torch.tensor(positions))
            assert torch.equal(tensors[slot.name], kept), slot.name
            assert tensors[slot.name].is_contiguous()

    check()


def test_by_hand() -> None:
    model, x = network("mlp")
    plan = plan_keeping(netsmith.trace(model, x), {"0.weight:0": (1, 4, 15)})
    edited = netsmith.apply(model, plan)
    assert torch.equal(edited[0].weight, model[0].weight[[1, 4, 15]])
    assert torch.equal(edited[0].bias, model[0].bias[[1, 4, 15]])
    assert torch.equal(edited[2].weight, model[2].weight[:, [1, 4, 15]])
    assert torch.equal(edited[2].bias, model[2].bias)


def test_nothing_is_shared_with_the_original() -> None:
    model, x = network("residual")
    edited = netsmith.apply(model, plan_keeping(netsmith.trace(model, x), {"conv1.weight:0": (0, 1)}))
    mine, theirs = ({s.tensor.data_ptr() for s in tensor_slots(m) if s.tensor.numel() > 1} for m in (model, edited))
    assert not mine & theirs


def test_it_trains_on() -> None:
    model, x = network("residual")
    edited = netsmith.apply(model, netsmith.plan_removal(netsmith.trace(model, x), keep=0.5))
    edited(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in edited.parameters())
    assert all(p.grad is None for p in model.parameters())


def test_a_plan_may_be_applied_to_another_model_of_the_same_structure() -> None:
    model, x = network("residual")
    plan = netsmith.plan_removal(netsmith.trace(model, x), keep=0.5)
    other = Residual()
    assert torch.equal(netsmith.apply(other, plan).conv2.bias or torch.ones(1), torch.ones(1))
    assert netsmith.apply(other, plan).conv1.weight.shape == (6, 4, 3, 3)


# ------------------------------------------------------------------------------------------------------ what is kept


def test_modes_and_gradients() -> None:
    model, x = network("residual")
    model.train()
    model.bn1.eval()
    model.stem.weight.requires_grad_(False)
    edited = netsmith.apply(model, netsmith.plan_removal(netsmith.trace(model, x), keep=0.5))
    assert [m.training for m in edited.modules()] == [m.training for m in model.modules()]
    assert {n: p.requires_grad for n, p in edited.named_parameters()} == {
        n: p.requires_grad for n, p in model.named_parameters()
    }
    assert type(edited) is Residual


def test_tied_weights_stay_tied() -> None:
    model, x = network("tied")
    edited = netsmith.apply(model, plan_keeping(netsmith.trace(model, x), {"embed.weight:1": (0, 3, 5)}))
    assert edited.head.weight is edited.embed.weight
    assert edited.embed.weight.shape == (20, 3)
    assert len(list(edited.parameters())) == len(list(model.parameters()))


def test_a_copy_whose_ties_were_lost_is_cut_as_well() -> None:
    model, x = network("tied")
    plan = plan_keeping(netsmith.trace(model, x), {"embed.weight:1": (0, 3, 5)})
    model.head.weight = nn.Parameter(model.head.weight.detach().clone())
    edited = netsmith.apply(model, plan)
    assert edited.head.weight.shape == edited.embed.weight.shape == (20, 3)
    assert edited(x).shape == (2, 7, 20)


def test_half_precision_and_other_tensors() -> None:
    model, x = network("mlp")
    model.half()
    model[0].register_buffer("scale", torch.ones(16), persistent=False)
    plan = plan_keeping(netsmith.trace(model, x.half()), {"2.weight:0": (0, 9)})
    edited = netsmith.apply(model, plan)
    assert {p.dtype for p in edited.parameters()} == {torch.float16}
    assert edited[0].scale.shape == (16,)  # read by nobody: not the plan's business


def test_models_on_meta() -> None:
    model, x = network("residual")
    plan = netsmith.plan_removal(netsmith.trace(model, x), keep=0.5)
    with torch.device("meta"):
        empty = Residual()
    edited = netsmith.apply(empty, plan)
    assert all(p.is_meta for p in edited.parameters())
    assert {k: v.shape for k, v in edited.state_dict().items()} == {
        k: v.shape for k, v in netsmith.apply(model, plan).state_dict().items()
    }


def test_recurrent_layers_list_their_new_weights() -> None:
    model, x = network("recurrent")
    plan = plan_keeping(
        netsmith.trace(model, x), {"lstm.weight_ih_l0:0.1": (0, 2, 5), "lstm.weight_ih_l1:0.1": (1, 2, 3)}
    )
    edited = netsmith.apply(model, plan)
    listed = edited.lstm._flat_weights
    assert all(a is b for a, b in zip(listed, edited.lstm.parameters(), strict=True))
    gates = model.lstm.weight_hh_l0.reshape(4, 8, 8)[:, [0, 2, 5]][:, :, [0, 2, 5]].reshape(12, 3)
    assert torch.equal(edited.lstm.weight_hh_l0, gates)
    assert edited.lstm.hidden_size == 3
    edited(x).sum().backward()


def test_a_cache_of_tensors_is_emptied_in_the_copy_alone() -> None:
    class Cached(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.cache = nn.Linear(4, 6), nn.Linear(6, 2), {}

        def forward(self, x):
            if "ones" not in self.cache:
                self.cache["ones"] = torch.ones(self.a.weight.shape[0])
            return self.b(self.a(x) + self.cache["ones"])

    model, x = Cached(), torch.randn(2, 4)
    plan = netsmith.plan_removal(netsmith.trace(model, x), keep=0.5)
    assert plan.edits
    model(x)
    edited = netsmith.apply(model, plan)
    assert model.cache.keys() == {"ones"} and edited.cache == {}
    assert edited(x).shape == (2, 2)


# --------------------------------------------------------------------------------------------------------- bad inputs


def test_a_plan_for_another_model() -> None:
    model, x = network("mlp")
    plan = netsmith.plan_removal(netsmith.trace(model, x), keep=0.5)
    edited = netsmith.apply(model, plan)
    with pytest.raises(
        PlanError,
        match=r"made for another model than this Sequential: 0\.weight is \(8, 6\), the plan expects \(16, 6\)",
    ):
        netsmith.apply(edited, plan)
    with pytest.raises(PlanError, match=r"made for another model than this Tied: 0\.weight is missing;.* and 1 more"):
        netsmith.apply(Tied(), plan)
    longer = nn.Sequential(*mlp(), nn.Linear(3, 3))
    with pytest.raises(PlanError, match="tensors that the plan does not change differ in name or shape"):
        netsmith.apply(longer, plan)


def test_what_is_no_model_or_cannot_be_copied() -> None:
    model, x = network("mlp")
    plan = netsmith.plan_removal(netsmith.trace(model, x), keep=0.5)
    with pytest.raises(InputError, match=r"model is a OrderedDict; give a torch\.nn\.Module"):
        netsmith.apply(model.state_dict(), plan)  # type: ignore[arg-type]
    model.lock = (i for i in range(3))  # generators cannot be copied
    with pytest.raises(ModelError, match=r"cannot be copied with copy\.deepcopy: TypeError"):
        netsmith.apply(model, plan)


def test_fingerprints_tell_structures_apart_not_values() -> None:
    assert fingerprint(mlp()) == fingerprint(mlp().half())
    assert fingerprint(mlp()) != fingerprint(nn.Sequential(*mlp(), nn.Linear(3, 3)))
    model = mlp()
    assert fingerprint(copy.deepcopy(model)) == fingerprint(model)
