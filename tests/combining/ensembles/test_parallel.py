"""Members side by side, one after the other or as one batch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import netsmith
from ensemble_members import accuracy, convolutional, data, perceptron, trained
from netsmith.combining.ensembles import parallel
from netsmith.combining.ensembles.stacked import can_be_stacked
from netsmith.errors import InputError
from netsmith.training import distil
from netsmith.zoo import digits_resnet


def test_the_mean_of_the_members() -> None:
    x, models = data().test.images, list(trained().values())
    ensemble = parallel(models)
    expected = torch.stack([model(x).softmax(1) for model in models]).mean(0)
    assert torch.allclose(ensemble(x).exp(), expected, atol=1e-6)
    assert ensemble.names == ("0", "1", "2")
    assert accuracy(ensemble) > max(accuracy(model) for model in models) - 0.05


def test_the_models_stay_as_they_are() -> None:
    model = convolutional().train()
    ensemble = parallel([model])
    assert model.training
    assert not any(module.training for module in ensemble.modules())
    ensemble.members[0][0].weight.data.zero_()
    assert float(model[0].weight.detach().abs().sum()) > 0


def test_regression() -> None:
    torch.manual_seed(0)
    x, models = torch.randn(5, 3), [nn.Linear(3, 2) for _ in range(3)]
    outputs = torch.stack([model(x) for model in models])
    assert torch.allclose(
        parallel(models, rule="mean", weights=[1, 1, 2])(x),
        (outputs * torch.tensor([1, 1, 2])[:, None, None]).sum(0) / 4,
    )
    assert torch.equal(parallel(models, rule="median")(x), outputs.median(0).values)


def test_keyword_arguments_and_objects_with_logits() -> None:
    class Output(dict):  # as transformers return
        def __getattr__(self, name: str) -> torch.Tensor:
            return self[name]

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, *, a: torch.Tensor, b: torch.Tensor) -> Output:
            return Output(logits=self.fc(a + b))

    model, x = Model(), torch.ones(4, 3)
    assert torch.allclose(parallel([model, model], rule="logits")(a=x, b=x), model.fc(2 * x))


@pytest.mark.parametrize("build", [perceptron, convolutional, lambda: digits_resnet(width=2)])
def test_members_of_one_architecture_run_as_one_batch(build) -> None:
    torch.manual_seed(0)
    x, models = data().test.images[:8], [build() for _ in range(3)]
    ensemble = parallel(models)
    batched = ensemble.batched()
    assert torch.allclose(batched(x), ensemble(x), atol=1e-5)
    assert torch.equal(batched.side_by_side()(x), ensemble(x))
    assert (
        netsmith.measure(batched, x).macs
        == netsmith.measure(ensemble, x).macs
        == 3 * netsmith.measure(models[0], x).macs
    )
    assert netsmith.measure(batched, x).params == netsmith.measure(ensemble, x).params


def test_only_one_architecture_is_batched() -> None:
    same, other = perceptron(), perceptron(13)
    assert can_be_stacked([same, perceptron()])
    assert not can_be_stacked([same, other])
    assert not can_be_stacked([same])
    assert not can_be_stacked([nn.Sequential(nn.Linear(3, 3), nn.ReLU()), nn.Sequential(nn.Linear(3, 3), nn.Tanh())])
    strict, loose = nn.LayerNorm(4, eps=1e-5), nn.LayerNorm(4, eps=1e-3)
    assert not can_be_stacked([strict, loose])
    with pytest.raises(InputError, match="only members with the same modules, shapes and settings"):
        parallel([same, other]).batched()


def test_the_faster_way_is_measured_and_both_answer_the_same() -> None:
    torch.manual_seed(0)
    models, x = [perceptron() for _ in range(4)], data().test.images[:4]
    chosen = parallel(models, example_inputs=x)
    assert torch.allclose(chosen(x), parallel(models)(x), atol=1e-5)
    assert parallel([perceptron(), convolutional()], example_inputs=x).stacked is None


def test_it_is_exported_and_teaches_one_network() -> None:
    x = data().test.images
    for ensemble in (parallel(trained(), rule="vote"), parallel([perceptron(), perceptron()]).batched()):
        shapes = (({0: torch.export.Dim("examples", min=2)},),)
        exported = torch.export.export(ensemble, (x[:4],), dynamic_shapes=shapes).module()
        assert torch.allclose(exported(x), ensemble(x), atol=1e-5)
    student = distil(perceptron(8), parallel(trained()), [x[:64]], epochs=2, lr=0.1)
    assert student(x).shape == (360, 10)


@pytest.mark.parametrize(
    ("members", "options", "message"),
    [
        ([], {}, "an ensemble needs at least one member"),
        (perceptron(), {}, "members is a Sequential; give a list of models"),
        (["a"], {}, "member '0' is a str, not a torch.nn.Module"),
        ({"a/b": perceptron()}, {}, "member name 'a/b': use a short text without a slash"),
        ({"__a__": perceptron()}, {}, "member name '__a__': use a short text"),
        ([perceptron()], {"rule": "x"}, "rule='x' is unknown"),
        ([perceptron()], {"weights": [1, 2]}, "weights must be 1 numbers ≥ 0, not all zero"),
        ([perceptron()], {"weights": [-1]}, "weights must be 1 numbers ≥ 0"),
        ([perceptron()], {"weights": [1], "rule": "median"}, 'rule="median" takes no weights'),
    ],
)
def test_bad_input(members, options, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parallel(members, **options)
