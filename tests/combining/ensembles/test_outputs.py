"""What members say about labelled data."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ensemble_members import batches, data, perceptron, trained
from netsmith.combining.ensembles import gather
from netsmith.combining.ensembles.outputs import outputs_of
from netsmith.errors import InputError, ModelError


def test_scores_in_order() -> None:
    found = gather(trained(), batches())
    assert found.names == ("tiny", "wide", "conv")
    assert found.scores.shape == (3, 288, 10)
    assert torch.allclose(found.scores[2], trained()["conv"](data().validation.images), atol=1e-5)
    assert torch.equal(found.labels, data().validation.labels)
    half = found.rows(torch.arange(0, 288, 2))
    assert half.scores.shape == (3, 144, 10)
    assert outputs_of(trained(), found) is found


def test_modes_are_restored() -> None:
    model = perceptron().train()
    gather({"a": model}, batches())
    assert model.training


X, Y = torch.zeros(4, 1, 8, 8), torch.tensor([0, 1, 2, 3])


@pytest.mark.parametrize(
    ("members", "batch", "error", "message"),
    [
        ({"a": perceptron()}, X, InputError, "give batches \\(x, y\\) with y \\(N,\\) class numbers"),
        ({"a": perceptron()}, (X, Y + 8), InputError, "labels go from 8 to 11, but the members score classes 0..9"),
        ({"a": perceptron(classes=3), "b": perceptron()}, (X, Y), InputError, "same classes, .* a: 3, b: 10"),
        ({"a": nn.Flatten(0)}, (X, Y), InputError, "member 'a' returns \\(256,\\) for 4 labels"),
        ({"a": perceptron()}, (X * float("nan"), Y), ModelError, "member 'a' returns NaN"),
    ],
)
def test_bad_input(members, batch, error, message: str) -> None:
    with pytest.raises(error, match=message):
        gather(members, [batch])


def test_outputs_of_other_members() -> None:
    with pytest.raises(InputError, match="the outputs are those of tiny, wide, conv; the members are tiny"):
        outputs_of({"tiny": trained()["tiny"]}, gather(trained(), batches()))
