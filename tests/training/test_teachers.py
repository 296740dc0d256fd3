"""Several teachers, masks, features, and what a teacher said before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from netsmith.data import Examples, batches
from netsmith.errors import FileError, InputError
from netsmith.training import distil, losses
from netsmith.training.features import Features
from netsmith.training.teachers import Ensemble


class Counting(nn.Linear):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x)


def setting() -> tuple[nn.Module, Counting, list[torch.Tensor]]:
    torch.manual_seed(0)
    return nn.Linear(4, 3), Counting(4, 3), list(torch.randn(64, 4).split(16))


def test_an_ensemble_teaches_its_mean_probability() -> None:
    student, first, data = setting()
    second = nn.Linear(4, 3)
    mean = (first(data[0]).softmax(-1) + second(data[0]).softmax(-1)) / 2
    assert torch.allclose(Ensemble([first, second])(data[0]).exp(), mean)
    taught = distil(student, [first, second], data, epochs=60, lr=0.5, temperature=1.0, weight_decay=0)
    assert (taught(data[0]).softmax(-1) - mean).abs().max() < 0.08
    with pytest.raises(InputError, match="teacher is a str; give a torch.nn.Module, or a list"):
        distil(student, "teacher", data, epochs=1)


def test_a_cache_spares_the_teacher_and_changes_nothing(tmp_path: Path) -> None:
    student, teacher, data = setting()
    loader = batches(Examples(torch.cat(data), torch.zeros(64)), 16, shuffle=True)
    plain = distil(student, teacher, loader, epochs=3, lr=0.1)
    teacher.calls = 0
    cached = distil(student, teacher, loader, epochs=3, lr=0.1, cache=tmp_path / "said.safetensors")
    assert teacher.calls == 4
    assert torch.allclose(plain.weight, cached.weight, atol=1e-6)
    again = distil(student, teacher, loader, epochs=3, lr=0.1, cache=tmp_path / "said.safetensors")
    assert teacher.calls == 4
    assert torch.equal(again.weight, cached.weight)


def test_a_cache_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    student, teacher, data = setting()
    file = tmp_path / "said.safetensors"
    distil(student, teacher, data, epochs=1, cache=file)
    changed = [x.clone() for x in data]
    changed[2][5] += 1e-3
    with pytest.raises(InputError, match=r"example 5 of a batch is not in the cache.*leave augmentation out"):
        distil(student, teacher, changed, epochs=1, cache=file)
    with pytest.raises(FileError, match="holds the outputs of another teacher"):
        distil(student, nn.Linear(4, 3), data, epochs=1, cache=file)
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(FileError, match="no whole cache"):
        distil(student, teacher, data, epochs=1, cache=file)
    with pytest.raises(InputError, match="give features or cache, not both"):
        distil(student, teacher, data, epochs=1, cache=file, features={"": ""})


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(7, 6), nn.Linear(6, 5)

    def forward(self, ids, keep):
        return self.head(self.embed(ids))


def test_masked_positions_teach_nothing() -> None:
    torch.manual_seed(0)
    student, teacher = Tokens(), Tokens()
    ids = torch.randint(0, 6, (8, 5))
    ids[:, 3:] = 6  # padding
    data = [{"ids": ids, "keep": ids != 6}]
    taught = distil(student, teacher, data, steps=20, lr=0.5, weight_decay=0, mask=lambda x: x["keep"])
    assert torch.equal(taught.embed.weight[6], student.embed.weight[6])
    assert not torch.equal(taught.embed.weight[0], student.embed.weight[0])
    with pytest.raises(InputError, match=r"mask gave \(8,\); expected \(8, 5\)"):
        distil(student, teacher, data, steps=1, mask=lambda x: x["keep"][:, 0])
    with pytest.raises(InputError, match="the mask leaves nothing of a batch"):
        distil(student, teacher, data, steps=1, mask=lambda x: x["keep"] & False)


def convs(width: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, width, 3, stride, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3)
    )


def test_features_start_at_the_least_squares_fit_and_leave_no_hooks() -> None:
    torch.manual_seed(0)
    student, teacher = convs(4, 2), convs(6, 1)
    data = list(torch.randn(48, 2, 8, 8).split(16))
    with Features(student, teacher, {"1": "1"}, data, seed=0) as pairs:
        pairs.watch(student)
        errors = []
        for x in data:
            student(x), teacher(x)
            errors.append(float(pairs.error()))
        assert sum(errors) / 3 < 0.95  # of the variance; a projection to the mean would leave 1
        wrong = torch.nn.init.normal_(pairs.projections[0].weight.clone())
        best, pairs.projections[0].weight.data = pairs.projections[0].weight.data, wrong
        student(x), teacher(x)
        assert float(pairs.error()) > errors[-1]
        pairs.projections[0].weight.data = best
    before = {n: p.clone() for n, p in student.named_parameters()}
    taught = distil(student, teacher, data, epochs=15, lr=0.05, features={"1": "1"}, feature_weight=2.0)
    for model in (taught, student, teacher):
        assert all(not module._forward_hooks for module in model.modules())
    assert all(torch.equal(p, before[n]) for n, p in student.named_parameters())
    with Features(taught, teacher, {"1": "1"}, data, seed=0) as pairs:
        pairs.watch(taught)
        taught(x), teacher(x)
        assert float(pairs.error()) < errors[-1]


def test_features_that_do_not_fit() -> None:
    student, teacher, data = convs(4, 2), convs(6, 1), [torch.randn(4, 2, 8, 8)]
    with pytest.raises(InputError, match="features: Sequential has no layer 'body'"):
        distil(student, teacher, data, steps=1, features={"body": "1"})
    with pytest.raises(InputError, match=r"shapes \(4, 4, 4, 4\) and \(4, 6\) cannot be paired"):
        distil(student, teacher, data, steps=1, features={"1": "3"})
    with pytest.raises(InputError, match="feature_weight must be 0 or more"):
        distil(student, teacher, data, steps=1, features={"1": "1"}, feature_weight=-1)


def test_a_temperature_belongs_to_the_default_loss() -> None:
    student, teacher, data = setting()
    with pytest.raises(InputError, match=r"temperature=2.0 is of the default loss; give loss=functools.partial"):
        distil(student, teacher, data, epochs=1, loss=losses.softened, temperature=2.0)
    with pytest.raises(InputError, match="loss is a str; give a function"):
        distil(student, teacher, data, epochs=1, loss="softened")
