"""The one call, from a trained network to a smaller one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import netsmith
from block_networks import images as block_images
from block_networks import stacked
from netsmith.costs import measure
from netsmith.errors import BudgetError, CaptureError, EvidenceError, InputError, ModelError, UnknownNameError
from netsmith.evidence import gradients
from netsmith.plans import Budget
from netsmith.recipes import Result, shrink
from netsmith.wiring import tensor_slots
from small_networks import Residual, mlp, network

HALF = Budget(macs=0.5)


def task() -> tuple[nn.Module, torch.Tensor, list[tuple[torch.Tensor, torch.Tensor]]]:
    """A network that has learned nothing, inputs for it, and labelled batches."""
    model, x = network("residual")
    generator = torch.Generator().manual_seed(1)
    data = [(torch.randn(8, 3, 6, 6, generator=generator), torch.arange(8) % 5) for _ in range(5)]
    return model, x, data


def agreement(reference: nn.Module, x: torch.Tensor) -> Callable[[nn.Module], float]:
    return lambda model: -float((model(x) - reference(x)).square().mean())


def test_without_data() -> None:
    model, x, _ = task()
    result = shrink(model, x, budget=HALF)
    assert isinstance(result, Result)
    assert [step.name for step in result.steps] == ["original", "prune"]
    assert all(step.scores == {} for step in result.steps)
    assert result.steps[1].cost.macs <= 0.5 * result.steps[0].cost.macs
    assert result.verdict and result.plan.refitted == frozenset()
    assert result.spent is None and "took" not in str(result)
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            result.model.state_dict().values(), netsmith.apply(model, result.plan).state_dict().values(), strict=True
        )
    )
    assert not any(m.training for m in result.model.modules())


def test_with_data_it_repairs() -> None:
    model, x, data = task()
    fresh = torch.randn(16, 3, 6, 6)
    result = shrink(model, x, budget=HALF, data=data, evaluate=agreement(model, fresh))
    assert [step.name for step in result.steps] == ["original", "prune", "repair"]
    original, prune, repair = (step.scores["score"] for step in result.steps)
    assert original == 0 and 0.8 * prune < repair < 0  # at least a fifth nearer
    assert result.verdict, str(result.verdict)
    assert "conv2.weight" in result.plan.refitted


def test_the_table_says_what_is_measured() -> None:
    model, x, data = task()
    result = shrink(model, x, budget=HALF, data=data, evaluate=lambda m: {"accuracy": 0.5, "f1": torch.tensor(0.25)})
    for step, own in ((result.steps[0], model), (result.steps[-1], result.model)):
        expected = measure(own, x)
        assert (step.cost.params, step.cost.macs, step.cost.bytes) == (expected.params, expected.macs, expected.bytes)
        assert step.cost.latency_ms is not None and step.cost.latency_ms > 0
        assert step.scores == {"accuracy": 0.5, "f1": 0.25}
    text = str(result)
    assert result.spent is not None and result.spent.seconds > 0
    assert f"planning and repair took {result.spent}" in text
    assert "repair" in text and "accuracy 0.5000, f1 0.2500" in text and "keeps its promise" in text


def test_heal_by_epochs_distils() -> None:
    model, x, data = task()
    result = shrink(model, x, budget=HALF, data=data, heal=2, evaluate=agreement(model, data[0][0]))
    assert [step.name for step in result.steps] == ["original", "prune", "repair", "heal"]
    assert result.steps[3].scores != result.steps[2].scores
    assert result.plan.refitted == {slot.name for slot in tensor_slots(result.model)}
    assert result.verdict and not result.model.training


def test_heal_by_a_function_that_trains_in_place() -> None:
    model, x, data = task()
    given: list[Any] = []

    def heal(edited: nn.Module, original: nn.Module) -> nn.Module:
        given.extend([edited, original])
        with torch.no_grad():
            edited.fc.weight.zero_()
        return edited.train()

    evaluate = agreement(model, x)
    result = shrink(model, x, budget=HALF, data=data, heal=heal, evaluate=evaluate)
    without = shrink(model, x, budget=HALF, data=data, evaluate=evaluate)
    assert given[1] is model
    assert result.steps[2].scores == without.steps[2].scores  # the repaired step is as it was
    assert result.steps[3].scores != result.steps[2].scores
    assert float(result.model.fc.weight.abs().sum().detach()) == 0
    assert not result.model.training and result.verdict


def test_heal_by_a_function_without_data() -> None:
    model, x, _ = task()
    result = shrink(model, x, budget=HALF, heal=lambda edited, original: edited)
    assert [step.name for step in result.steps] == ["original", "prune", "heal"]


def test_a_healer_that_returns_another_structure_is_found_out() -> None:
    model, x, _ = task()
    result = shrink(model, x, budget=HALF, heal=lambda edited, original: Residual())
    assert not result.verdict


def test_the_callers_model_is_as_before() -> None:
    model, x, data = task()
    model.train()
    model.bn2.eval()
    before = {s.name: (id(s.tensor), s.tensor.detach().clone()) for s in tensor_slots(model)}
    modes, text = [m.training for m in model.modules()], repr(model)
    state = torch.get_rng_state()
    seen = []

    def evaluate(each: nn.Module) -> float:
        seen.append((each.training, torch.is_grad_enabled()))
        return 0.0

    shrink(model, x, budget=HALF, data=data, heal=1, evaluate=evaluate)
    assert seen == [(False, False)] * 4
    assert modes == [m.training for m in model.modules()] and text == repr(model)
    for slot in tensor_slots(model):
        assert id(slot.tensor) == before[slot.name][0] and torch.equal(slot.tensor, before[slot.name][1])
        assert slot.tensor.grad is None
    assert torch.equal(state, torch.get_rng_state())


def test_the_same_seed_gives_the_same_plan_and_weights() -> None:
    results = []
    for _ in range(2):
        model, x, data = task()
        results.append(shrink(model, x, budget=HALF, data=data, heal=1, seed=7))
        torch.rand(3)  # the caller's own random numbers do not matter
    one, two = results
    assert one.plan == two.plan
    pairs = zip(one.model.state_dict().values(), two.model.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_two_threads_give_what_one_gives() -> None:
    model, x, data = task()
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(shrink(model, x, budget=HALF, data=data))
    finally:
        torch.set_num_threads(before)
    one, two = results
    assert one.plan == two.plan
    pairs = zip(one.model.state_dict().values(), two.model.state_dict().values(), strict=True)
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in pairs)


def test_a_loader_is_not_disturbed() -> None:
    model, x, data = task()
    loader = DataLoader(TensorDataset(torch.cat([b for b, _ in data])), batch_size=8)
    state = torch.get_rng_state()
    with pytest.raises(UnknownNameError):
        shrink(model, x, budget=HALF, data=loader, ignore=["nothing"])
    assert torch.equal(state, torch.get_rng_state())
    assert shrink(model, x, budget=HALF, data=loader).verdict


def test_score_ignore_and_round_to_reach_the_plan() -> None:
    model, x, _ = task()

    def last(axis, weights):
        return torch.arange(axis.size).float()

    plan = shrink(model, x, budget=Budget(macs=0.8), score=last, ignore=["stem"], round_to=4).plan
    assert plan.keep() == {"conv1.weight:0": tuple(range(4, 12))}


@pytest.mark.parametrize("name", ["taylor", "reconstruction", "norm_scale"])
def test_a_score_by_name_gets_its_evidence(name: str) -> None:
    model, x, data = task()
    told: list[tuple[str, int, int]] = []
    result = shrink(model, x, budget=HALF, data=data, score=name, progress=lambda *step: told.append(step))
    assert result.verdict and [step.name for step in result.steps] == ["original", "prune", "repair"]
    assert [step for step in told if step[0] == "score"] == (
        [] if name == "norm_scale" else [("score", i, 5) for i in range(1, 6)]
    )
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_a_score_with_its_evidence_bound() -> None:
    model, x, data = task()
    found = gradients(netsmith.trace(model, x), data)
    bound = shrink(model, x, budget=HALF, data=data, score=partial(netsmith.scores.taylor, gradients=found))
    assert bound.plan == shrink(model, x, budget=HALF, data=data, score="taylor").plan
    without = shrink(model, x, budget=HALF, score=partial(netsmith.scores.taylor, gradients=found))
    assert [step.name for step in without.steps] == ["original", "prune"] and without.verdict


def test_a_budget_that_already_fits() -> None:
    model, x, data = task()
    result = shrink(model, x, budget=Budget(macs=1.0), data=data)
    assert result.plan.edits == () and result.verdict
    assert "nothing to do" in result.plan.left["the model"]
    assert torch.equal(result.model(x), model(x))


def test_progress_is_told() -> None:
    model, x, data = task()
    told: list[str] = []
    shrink(model, x, budget=HALF, data=data, heal=1, progress=lambda what, done, total: told.append(what))
    assert list(dict.fromkeys(told)) == [
        "trace",
        "plan",
        "repair",
        "refine",
        "heal",
        "verify",
        "measure",
    ]


def test_keyword_inputs() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = mlp()

        def forward(self, values):
            return self.net(values)

    x = {"values": torch.randn(4, 6)}
    result = shrink(Named(), x, budget=HALF, data=[x, x, x], heal=1)
    assert result.verdict and len(result.steps) == 4


# ---------------------------------------------------------------------------------------------------------- bad inputs


def nan_model() -> nn.Module:
    model = Residual().eval()
    with torch.no_grad():
        model.conv1.weight[0] = torch.nan
    return model


images = torch.randn(2, 3, 6, 6)

BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "model": ({"model": "resnet18"}, InputError, r"model is a str; give a torch\.nn\.Module"),
    "NaN weights": ({"model": nan_model()}, ModelError, r"weights are not finite \(NaN or infinity\): conv1\.weight"),
    "inputs of another shape": (
        {"x": torch.randn(2, 4, 6, 6)},
        CaptureError,
        r"Residual\.forward raises with the",
    ),
    "inputs of no kind": ({"x": 3}, InputError, "example_inputs is a int; give a tensor, a tuple"),
    "budget": ({"budget": 0.5}, InputError, r"budget is a float; give e\.g\. netsmith\.Budget\(macs=0\.5\)"),
    "impossible budget": ({"budget": Budget(macs=10)}, BudgetError, r"cannot be met: macs would be .*, above 10"),
    "number as data": ({"data": 5}, InputError, "data is a int; give a list of batches or a DataLoader"),
    "tensor as data": ({"data": images}, InputError, "data is a Tensor; give a list of batches or a DataLoader"),
    "iterator": (
        {"data": iter([images])},
        InputError,
        "data is an iterator that can be gone through once",
    ),
    "empty data": ({"data": []}, EvidenceError, "data is empty: it gave no batch"),
    "NaN data": ({"data": [images * torch.nan]}, EvidenceError, "batch 0 of data holds NaN or infinity"),
    "data of another shape": ({"data": [images[:, :2]]}, EvidenceError, "raises on a batch of the data"),
    "evaluate": ({"evaluate": 0.5}, InputError, "evaluate is a float; give a function model -> score"),
    "evaluate gives nothing": ({"evaluate": lambda m: None}, InputError, "evaluate returned None; it must return one"),
    "evaluate gives words": (
        {"evaluate": lambda m: {"a": "x"}},
        InputError,
        r"evaluate returned \{'a': 'x'\}",
    ),
    "no epochs": ({"heal": 0, "data": [images]}, InputError, "heal=0: give a number of epochs ≥ 1"),
    "True epochs": ({"heal": True, "data": [images]}, InputError, "heal=True: give a number of epochs ≥ 1"),
    "heal in words": ({"heal": "distil", "data": [images]}, InputError, "heal is a str; give a number of epochs or"),
    "heal without data": ({"heal": 2}, EvidenceError, "heal=2 distils on data, and none was given; give data"),
    "heal gives nothing": (
        {"heal": lambda e, o: None},
        InputError,
        "heal returned a NoneType; it must return",
    ),
    "score": ({"score": 3}, InputError, "score=3 is not callable"),
    "score of no name": (
        {"score": "size"},
        UnknownNameError,
        "there is no score 'size'; there are activation_variance",
    ),
    "score without data": (
        {"score": "taylor"},
        EvidenceError,
        r"score taylor is computed from data \(gradients\), and none was given; pass data",
    ),
    "depth without data": ({"depth": True}, InputError, "depth=True measures which blocks may go; give data"),
    "round_to": ({"round_to": 0}, InputError, "round_to=0 must be an int ≥ 1"),
    "ignore": ({"ignore": ["layer9"]}, UnknownNameError, "ignore pattern 'layer9' matches no module"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str) -> None:
    options, error, message = BAD[case]
    options = {"model": Residual().eval(), "x": images, "budget": HALF, **options}
    model = options["model"]
    before = [p.detach().clone() for p in model.parameters()] if isinstance(model, nn.Module) else []
    with pytest.raises(error, match=message):
        shrink(options.pop("model"), options.pop("x"), **options)
    if before:
        assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(before, model.parameters(), strict=True))


def test_nan_in_a_buffer_and_a_seed_that_is_no_number() -> None:
    model, x, _ = task()
    with pytest.raises(InputError, match=r"seed='a' is a str"):
        shrink(model, x, budget=HALF, seed="a")  # type: ignore[arg-type]
    name, buffer = next((n, b) for n, b in model.named_buffers() if b.is_floating_point())
    buffer.view(-1)[0] = float("nan")
    with pytest.raises(ModelError, match=f"buffers hold NaN: {name}"):
        shrink(model, x, budget=HALF)


def test_whole_blocks_may_go() -> None:
    model, x = stacked(), block_images(1)
    data = [block_images(32) for _ in range(4)]
    with torch.no_grad():
        model.blocks[1].conv2.weight.mul_(0.1)  # a block that does little
    result = shrink(model, x, budget=Budget(macs=0.2), data=data, depth=True)
    assert "blocks.1" in [edit.block for edit in result.plan.before[0].block_edits]
    assert result.verdict.ok and measure(result.model, x).macs <= 0.2 * measure(model, x).macs
    assert [step.name for step in result.steps] == ["original", "prune", "repair"]
