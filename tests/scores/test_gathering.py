"""Evidence for whoever asks for it."""

from __future__ import annotations

from functools import partial

import pytest
import torch

import netsmith
from netsmith.errors import EvidenceError, InputError, UnknownNameError
from netsmith.evidence import Activations, activations
from netsmith.scores import Weights, magnitude, random, taylor, wanda, with_evidence
from netsmith.scores.gathering import evidence_wanted, from_data, score_name
from netsmith.scores.named import OURS, score_named
from netsmith.wiring import Axis
from small_networks import network


def both(axis: Axis, weights: Weights, *, activations: Activations, gradients: list[Weights], share: float = 0.5):
    return share * taylor(axis, weights, gradients=gradients) + wanda(axis, weights, activations=activations)


def test_what_is_asked_for() -> None:
    wanted = {name: evidence_wanted(score) for name, score in OURS.items()}
    assert wanted == {
        "activation_variance": ("activations",),
        "fisher": ("gradients",),
        "magnitude": (),
        "norm_scale": ("wiring",),
        "random": (),
        "reconstruction": ("activations",),
        "redundancy": ("activations",),
        "taylor": ("gradients",),
        "wanda": ("activations",),
    }
    assert evidence_wanted(both) == ("activations", "gradients")
    assert evidence_wanted(partial(both, gradients=[])) == ("activations",)
    assert from_data(OURS["norm_scale"]) == ()
    assert score_name(partial(partial(taylor), gradients=[])) == "taylor"


@pytest.mark.parametrize("name", OURS)
def test_each_of_ours_gets_what_it_needs(name: str) -> None:
    model, x = network("residual")
    wiring = netsmith.trace(model, x)
    plan = netsmith.plan_removal(wiring, keep=0.5, score=with_evidence(score_named(name), wiring, [x, x]))
    assert {len(edit.keep) for edit in plan.edits} == {4, 6}


def test_a_function_of_ones_own_gets_it_too() -> None:
    model, x = network("mlp")
    wiring = netsmith.trace(model, x)
    told: list[str] = []
    score = with_evidence(both, wiring, [x], progress=lambda done, total, what: told.append(what))
    assert told == ["activations", "gradients"]
    axis, weights = wiring.axis["0.weight:0"], Weights(wiring.tensors)
    assert score(axis, weights).shape == (16,)
    assert torch.equal(score(axis, weights), with_evidence(both, wiring, [x])(axis, weights))


def test_what_is_bound_is_not_gathered() -> None:
    model, x = network("mlp")
    wiring = netsmith.trace(model, x)
    bound = partial(wanda, activations=activations(wiring, [x]))
    assert with_evidence(bound, wiring) is bound
    assert with_evidence(magnitude, wiring) is magnitude
    assert with_evidence(partial(random, seed=3), wiring)(wiring.axes[0], Weights(wiring.tensors)).shape == (16,)


def test_labels_are_used_with_a_loss() -> None:
    model, x = network("mlp")
    wiring = netsmith.trace(model, x)
    axis, weights = wiring.axis["0.weight:0"], Weights(wiring.tensors)
    data = [(x, torch.tensor([0, 1, 2, 0]))]
    supervised = with_evidence(taylor, wiring, data, loss=torch.nn.functional.cross_entropy)(axis, weights)
    assert not torch.equal(supervised, with_evidence(taylor, wiring, data)(axis, weights))


def test_bad_input() -> None:
    wiring = netsmith.trace(*network("mlp"))
    with pytest.raises(EvidenceError, match=r"score taylor is computed from data \(gradients\), and none was given"):
        with_evidence(taylor, wiring)
    with pytest.raises(InputError, match="score='taylor' is not callable"):
        with_evidence("taylor", wiring)  # type: ignore[arg-type]

    def wise(axis: Axis, weights: Weights, *, oracle: object) -> torch.Tensor:
        return magnitude(axis, weights)

    with pytest.raises(
        InputError, match=r"score wise wants oracle, which nothing here gathers \(there are activations, g"
    ):
        with_evidence(wise, wiring)
    with pytest.raises(UnknownNameError, match="there is no score 'size'; there are activation_variance, fisher, magn"):
        score_named("size")


def test_every_name_is_that_of_a_score_in_the_room() -> None:
    assert all(getattr(netsmith.scores, name) is score for name, score in OURS.items())
    functions = {n for n in netsmith.scores.__all__ if n.islower()}
    assert functions == {*OURS, "with_evidence"}
