"""What a batch is, and how a model is run on one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from netsmith.data import call, each_batch, eval_mode, logits, split_batch
from netsmith.errors import InputError

X, Y = torch.ones(2, 3), torch.tensor([0, 1])


def test_forms_of_a_batch() -> None:
    assert split_batch(X) == (X, None)
    assert split_batch((X,)) == (X, None)
    assert split_batch([X, Y]) == (X, Y)
    assert split_batch(((X, X), None)) == ((X, X), None)
    assert split_batch({"a": X}) == ({"a": X}, None)
    assert split_batch(([X, X], Y)) == ((X, X), Y)


@pytest.mark.parametrize("batch", [3, "ab", (X, X, X), (), ("x", "y")])
def test_what_is_no_batch_is_said(batch) -> None:
    with pytest.raises(InputError, match=r"a batch must be x or \(x, y\).*not "):
        split_batch(batch)


def test_empty_data_and_no_data() -> None:
    with pytest.raises(InputError, match="the data is empty"):
        list(each_batch([]))
    for data in (X, {"a": X}, 3, "digits"):
        with pytest.raises(InputError, match="data must be an iterable of batches"):
            list(each_batch(data))


class Sum(nn.Module):
    def forward(self, a, b):
        return a + 2 * b


def test_calling_conventions() -> None:
    assert torch.equal(call(Sum(), (X, X)), 3 * X)
    assert torch.equal(call(Sum(), {"b": 0 * X, "a": X}), X)
    with pytest.raises(InputError, match=r"Sum cannot be run on tensor \(2, 3\): TypeError"):
        call(Sum(), X)
    with pytest.raises(InputError, match=r"Linear cannot be run on tensor \(2, 3\): RuntimeError"):
        call(nn.Linear(4, 4), X)


def test_logits() -> None:
    assert logits(X) is X
    assert logits(SimpleNamespace(logits=X)) is X
    with pytest.raises(InputError, match="must return a tensor of class scores"):
        logits((X, X))


def test_eval_mode_puts_every_mode_back() -> None:
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout()))
    model[1].eval()
    with pytest.raises(RuntimeError), eval_mode(model):
        assert not any(m.training for m in model.modules())
        raise RuntimeError
    assert [m.training for m in model.modules()] == [True, True, False, False]
