"""Meta-learners: what scikit-learn fits is what the linear layer computes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ensemble_members import accuracy, batches, data, perceptron, trained
from netsmith.combining.ensembles import Outputs, out_of_fold, stack
from netsmith.combining.ensembles.stack import laid_out
from netsmith.errors import InputError


@pytest.mark.parametrize("meta", ["logistic", "ridge"])
def test_a_stack_is_about_as_good_as_its_best_member_or_better(meta: str) -> None:
    ensemble = stack(trained(), batches(), meta=meta)
    assert accuracy(ensemble) >= max(accuracy(model) for model in trained().values()) - 0.02
    x = data().test.images[:4]
    exported = torch.export.export(ensemble, (x,)).module()
    assert torch.allclose(exported(x), ensemble(x), atol=1e-5)


def test_noise_does_not_move_it_from_the_mean() -> None:
    """Members that are equally good: nothing is to be learnt, and few examples would teach much."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (60,), generator=generator)
    scores = torch.randn(3, 60, 4, generator=generator) + 3 * nn.functional.one_hot(labels, 4)
    models = {name: nn.Linear(3, 4) for name in "abc"}
    head = stack(models, Outputs(("a", "b", "c"), scores, labels)).head
    first = head.weight[0, 0]
    assert first > 0 and not head.bias.any()
    assert torch.allclose(head.weight, first * torch.eye(4).repeat(1, 3))


def test_a_member_that_is_wrong_about_everything_is_left_behind() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (200,), generator=generator)
    scores = torch.randn(2, 200, 4, generator=generator)
    scores[0, range(200), labels] += 5
    scores[1, range(200), (labels + 1) % 4] += 5
    ensemble = stack({name: nn.Linear(3, 4) for name in "ab"}, Outputs(("a", "b"), scores, labels))
    answers = ensemble.head(laid_out(scores, "log_probabilities")).argmax(1)
    assert float((answers == labels).float().mean()) > 0.95


def test_two_classes() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (200,), generator=generator)
    models = {"a": nn.Linear(3, 2), "b": nn.Linear(3, 2)}
    scores = torch.randn(2, 200, 2, generator=generator)
    scores[0, range(200), labels] += 3
    ensemble = stack(models, Outputs(("a", "b"), scores, labels))
    answers = ensemble.head(laid_out(scores, "log_probabilities")).argmax(1)
    assert float((answers == labels).float().mean()) > 0.9


def test_out_of_fold_members_have_not_seen_the_example() -> None:
    seen: list[set[float]] = []

    def fit(x: Tensor, y: Tensor) -> nn.Module:
        seen.append(set(x[:, 0].tolist()))
        model = nn.Linear(1, 2)
        nn.init.constant_(model.weight, float(len(seen)))  # which fit this is
        nn.init.zeros_(model.bias)
        return model

    x, y = torch.arange(1.0, 21)[:, None], torch.arange(20) % 2
    models, found = out_of_fold({"a": fit}, x, y, folds=4)
    assert len(seen) == 5
    assert seen[-1] == set(x[:, 0].tolist())
    which = (found.scores[0, :, 0] / x[:, 0]).round().int().tolist()  # the fit that answered for each example
    assert all(float(value) not in seen[number - 1] for value, number in zip(x[:, 0], which, strict=True))
    assert torch.equal(found.labels, y)
    assert list(models) == ["a"]


def test_bad_input() -> None:
    with pytest.raises(InputError, match="meta='svm' is unknown; there are logistic, ridge"):
        stack(trained(), batches(), meta="svm")
    few = [(data().train.images[:12], data().train.labels[:12])]
    with pytest.raises(InputError, match="stacking needs folds ≥ 2 and as many examples of every class"):
        stack({"a": perceptron()}, few)
