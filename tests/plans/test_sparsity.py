"""Which single weights become zero."""

from __future__ import annotations

import pytest
import torch

import netsmith
from netsmith.errors import EvidenceError, InputError, PlanError, UnknownNameError
from netsmith.evidence import activations
from netsmith.plans import Plan, Sparsify, plan_sparsity
from netsmith.plans.sparsity import edit_of, lowest_of_each, parse_pattern, zeros_of
from small_networks import NETWORKS, mlp, network


def changes(model, small) -> dict[str, torch.Tensor]:
    after = small.state_dict()
    return {name: value for name, value in model.state_dict().items() if not value.equal(after[name])}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_surviving_weight_keeps_its_bits(name: str) -> None:
    model, x = network(name)
    plan = plan_sparsity(netsmith.trace(model, x), threshold=0.1)
    small = netsmith.apply(model, plan)
    for edit in plan.sparsities:
        before, after = model.state_dict()[edit.tensor], small.state_dict()[edit.tensor]
        zeros = zeros_of(edit)
        assert zeros.equal(before.abs() < 0.1) and not after[zeros].any() and after[~zeros].equal(before[~zeros])
    assert set(changes(model, small)) == {edit.tensor for edit in plan.sparsities}
    assert all(model.state_dict()[edit.tensor].dim() > 1 for edit in plan.sparsities)
    verdict = netsmith.verify(model, small, plan, x)
    assert {check.status for check in verdict.checks} <= {"exact", "ok"}, verdict


def test_a_global_share_and_one_a_layer() -> None:
    model, x = network("mlp")
    wiring = netsmith.trace(model, x)
    with torch.no_grad():
        model[0].weight.mul_(100)
    counts = {}
    for scope in ("global", "layer"):
        plan = plan_sparsity(wiring, share=0.5, scope=scope)
        counts[scope] = {e.tensor: int(zeros_of(e).sum()) for e in plan.sparsities}
    assert counts["layer"] == {"0.weight": 48, "2.weight": 80, "4.weight": 15}
    assert sum(counts["global"].values()) == 143 and counts["global"].get("0.weight", 0) < 5


def test_two_of_four() -> None:
    model, x = network("residual")
    plan = plan_sparsity(netsmith.trace(model, x), pattern="2:4")
    assert plan.left == {"stem.weight": "has 3 inputs, which is no multiple of 4"}
    small = netsmith.apply(model, plan)
    for edit in plan.sparsities:
        weight = small.get_parameter(edit.tensor)
        groups = weight.movedim(1, -1).unflatten(-1, (-1, 4)).ne(0).sum(-1)
        assert (groups == 2).all() and edit.pattern == "2:4"


def test_the_largest_stay() -> None:
    score = torch.tensor([[1.0, 4.0, 2.0, 3.0]])
    assert lowest_of_each(score, 1, 2, 4).tolist() == [[True, False, True, False]]
    assert lowest_of_each(score.T, 0, 1, 2).tolist() == [[True], [False], [True], [False]]


def test_wanda_looks_at_inputs() -> None:
    model, x = network("mlp")
    wiring = netsmith.trace(model, x)
    data = [torch.randn(64, 6) * torch.tensor([10.0, 1, 1, 1, 1, 0.01])]
    seen = activations(wiring, data, gram=False)
    zeros = {
        e.tensor: zeros_of(e)
        for e in plan_sparsity(wiring, share=0.5, scope="layer", criterion="wanda", data=seen).sparsities
    }
    assert zeros["0.weight"][:, 5].all() and not zeros["0.weight"][:, 0].all()
    assert (zeros["0.weight"].sum(1) == 3).all()  # the same share of every output
    again = plan_sparsity(wiring, share=0.5, scope="layer", criterion="wanda", data=data)
    assert all(zeros_of(e).equal(zeros[e.tensor]) for e in again.sparsities)


def test_everything_and_ignored() -> None:
    model, x = network("residual")
    wiring = netsmith.trace(model, x)
    assert "norm.weight" not in [e.tensor for e in plan_sparsity(wiring, threshold=9.0).sparsities]
    names = [e.tensor for e in plan_sparsity(wiring, threshold=9.0, everything=True, ignore=["fc"]).sparsities]
    assert {"norm.weight", "norm.bias"} <= set(names) and not {"fc.weight", "fc.bias"} & set(names)


def test_bits_there_and_back() -> None:
    zeros = torch.rand(5, 7, generator=torch.Generator().manual_seed(0)) < 0.3
    edit = edit_of("w", zeros, None)
    assert zeros_of(edit).equal(zeros) and len(edit.zeros) == 5 and hash(edit)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, InputError, "give one of threshold=0.01, share=0.5 and pattern='2:4'"),
        ({"share": 0.5, "threshold": 1.0}, InputError, "give one of"),
        ({"share": 1.5}, InputError, "share=1.5 must be > 0 and < 1"),
        ({"threshold": -1}, InputError, "threshold=-1 must be a number > 0"),
        ({"pattern": "4:2"}, InputError, "pattern='4:2'; write N:M"),
        ({"share": 0.5, "scope": "model"}, InputError, "scope='model'; give 'global' or 'layer'"),
        ({"share": 0.5, "criterion": "taylor"}, InputError, "criterion='taylor'; give"),
        ({"share": 0.5, "criterion": "wanda"}, EvidenceError, "give data"),
        ({"pattern": "2:4", "everything": True}, InputError, "everything=True goes by magnitude"),
        ({"share": 0.5, "ignore": ["nothing"]}, UnknownNameError, "matches no module or tensor"),
    ],
)
def test_bad_input(options, error, message: str) -> None:
    with pytest.raises(error, match=message):
        plan_sparsity(netsmith.trace(mlp(), torch.randn(2, 6)), **options)


def test_more_bad_input() -> None:
    with pytest.raises(InputError, match="wiring is a str"):
        plan_sparsity("model", share=0.5)  # type: ignore[arg-type]
    assert parse_pattern("1:2") == (1, 2)
    plan = Plan((Sparsify("0.weight", (3, 3), b"\0\0"),), {}, {}, {}, "00")
    with pytest.raises(PlanError, match=r"0.weight is \(16, 6\), the plan expects \(3, 3\)"):
        netsmith.apply(mlp(), plan)


def test_a_weight_that_is_not_zero_breaks_the_promise() -> None:
    model, x = network("mlp")
    plan = plan_sparsity(netsmith.trace(model, x), share=0.5)
    small = netsmith.apply(model, plan)
    with torch.no_grad():
        small[0].weight.fill_(1.0)
    verdict = netsmith.verify(model, small, plan.with_refitted(["0.weight"]), x)
    assert not verdict.ok and "should be zero are not, in 0.weight" in str(verdict)
