"""Cascades: who leaves where, what comes out, and that every form of running says the same."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import netsmith
from ensemble_members import accuracy, batches, data, perceptron, trained
from netsmith.combining.ensembles import Cascade, cascade, evaluate
from netsmith.combining.ensembles.confidence import COMBINATIONS, MEASURES
from netsmith.errors import BudgetError, InputError


class Counting(nn.Module):
    """Says how many examples it was given."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.given = inner, []

    def forward(self, x: Tensor) -> Tensor:
        self.given.append(len(x))
        return self.inner(x)


def three(measure: str = "probability", combine: str = "last", thresholds: tuple[float, float] = (0.5, 0.7)) -> Cascade:
    return Cascade(dict(trained()), measure, combine, torch.tensor([1.2, 0.8, 1.0]), torch.tensor(thresholds)).eval()


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("combine", COMBINATIONS)
def test_leaving_early_and_computing_everything_agree(measure: str, combine: str) -> None:
    model, x = three(measure, combine, (0.5, 0.7)), data().test.images
    with torch.no_grad():
        everywhere = model._everywhere((x,), {})
        assert torch.allclose(model(x), everywhere, atol=1e-5)
        assert torch.allclose(torch.cat([model(one) for one in x[:40].split(1)]), everywhere[:40], atol=1e-5)
    assert torch.allclose(everywhere.exp().sum(1), torch.ones(len(x)), atol=1e-5)
    reached = model.reached(batches("test"))
    assert reached[0] == 1 and 0 < reached[2] <= reached[1]
    if measure == "agreement":
        assert reached[1] == 1  # one member alone agrees with nobody
    else:
        assert reached[1] < 1


def test_only_the_unsure_go_on() -> None:
    members = {name: Counting(model) for name, model in trained().items()}
    model, x = (
        Cascade(members, "probability", "last", torch.ones(3), torch.tensor([0.6, 0.8])).eval(),
        data().test.images,
    )
    model(x)
    given = [member.given for member in members.values()]
    assert given[0] == [360]
    assert 0 < given[2][0] < given[1][0] < 360
    sure = trained()["tiny"](x).softmax(1).amax(1)
    assert given[1] == [int((sure < 0.6).sum())]
    model(x[sure.argmax()][None])  # one example, of which the first member is sure
    assert [len(each) for each in given] == [2, 1, 1]


def test_the_answer_is_that_of_the_member_left_at() -> None:
    x = data().test.images
    first = three(thresholds=(0.0, 0.0))(x)
    assert torch.allclose(first, (trained()["tiny"](x) / 1.2).log_softmax(1), atol=1e-6)
    last = three(thresholds=(2.0, 2.0))(x)
    assert torch.allclose(last, trained()["conv"](x).log_softmax(1), atol=1e-6)
    mean = three(combine="mean", thresholds=(2.0, 2.0))(x)
    parts = [(m(x) / t).softmax(1) for m, t in zip(trained().values(), (1.2, 0.8, 1.0), strict=True)]
    assert torch.allclose(mean.exp(), torch.stack(parts).mean(0), atol=1e-6)


def test_a_target_accuracy_costs_less_than_the_best_member() -> None:
    x = data().test.images[:1]
    best = accuracy(trained()["conv"], "validation")
    target = best - 0.02
    model = cascade(trained(), batches(), example_inputs=x, target_accuracy=target)
    found = evaluate(model, batches(), x)
    assert found.accuracy >= target
    assert found.mean_macs < found.worst_macs == sum(netsmith.measure(m, x).macs for m in trained().values())
    assert netsmith.measure(model, x).macs == found.worst_macs


def test_a_target_cost_holds_on_the_data_it_was_chosen_on() -> None:
    costs = [1.0, 2.0, 10.0]
    model = cascade(trained(), batches(), costs=costs, target_cost=6.0, combine="mean", measure="margin")
    spent = sum(cost * share for cost, share in zip(costs, model.reached(batches()), strict=True))
    assert spent <= 6.0
    assert accuracy(model, "validation") >= accuracy(trained()["tiny"], "validation")


def test_gradients_flow_through_examples_that_left_and_that_stayed() -> None:
    model = three(thresholds=(0.5, 0.7))
    model(data().test.images[:40]).sum().backward()
    assert all(p.grad is not None for p in model.members[0].parameters())


@pytest.mark.parametrize("size", [1, 32])
def test_it_is_exported(size: int) -> None:
    model, x = three(), data().test.images
    shapes = (({0: torch.export.Dim("examples", min=1)},),)
    exported = torch.export.export(model, (x[:4],), dynamic_shapes=shapes).module()
    assert torch.allclose(exported(x[:size]), model(x[:size]), atol=1e-5)


def test_bad_input() -> None:
    pair, x = [perceptron(), perceptron()], data().test.images[:1]
    with pytest.raises(InputError, match="a cascade needs two members at least"):
        cascade(pair[:1], batches(), costs=[1], target_cost=1)
    with pytest.raises(InputError, match="give example_inputs to count MACs with, or costs"):
        cascade(pair, batches(), target_cost=1)
    with pytest.raises(InputError, match="costs must be 2 numbers, one a member"):
        cascade(pair, batches(), costs=[1], target_cost=1)
    with pytest.raises(InputError, match="give one of target_accuracy and target_cost"):
        cascade(pair, batches(), example_inputs=x)
    with pytest.raises(InputError, match="measure='doubt' is unknown; there are probability, margin"):
        cascade(pair, batches(), example_inputs=x, target_cost=1, measure="doubt")
    with pytest.raises(InputError, match="combine='first' is unknown; there are last, mean"):
        cascade(pair, batches(), example_inputs=x, target_cost=1, combine="first")
    with pytest.raises(BudgetError, match="keep the mean cost within 1; the least is 5"):
        cascade(pair, batches(), costs=[5, 6], target_cost=1)
    with pytest.raises(InputError, match="every tensor needs them in its first dimension"):
        three()(torch.zeros(4, 1, 8, 8), torch.zeros(3))
