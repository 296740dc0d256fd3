"""The quick copy is what ``copy.deepcopy`` makes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tests.small_networks import mlp
from torch import nn

from netsmith.errors import ModelError
from netsmith.wiring.copying import copied


class Odd(nn.Module):
    """Shared modules, odd attributes, hooks that refer to modules, a custom state."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.again = self.first
        self.layers = nn.ModuleList([nn.Conv1d(2, 2, 1), nn.LSTM(3, 3), nn.MultiheadAttention(4, 2)])
        self.none: nn.Module | None = None
        self.settings = {"sizes": [1, 2, (3, 4)], "layer": self.first, 3: torch.ones(2)}
        self.call = self.first.forward
        self.tag = Tag()
        self.first.register_forward_hook(self.note)
        self.register_module("absent", None)

    def note(self, module: nn.Module, args: tuple, out: torch.Tensor) -> None:
        self.seen = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.again(x)


class Tag:
    pass


class WithOwnCopy(nn.Linear):
    def __deepcopy__(self, memo: dict[int, Any]) -> WithOwnCopy:
        twin = WithOwnCopy(1, 1)
        nn.init.zeros_(twin.weight)
        nn.init.zeros_(twin.bias)
        return twin


class Uncopyable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.generator = (i for i in range(3))


def test_shared_parts_stay_shared_and_nothing_is_shared_with_the_original() -> None:
    model = Odd()
    twin = copied(model, {})
    assert twin.first is twin.again is twin.settings["layer"] and twin.first is not model.first
    assert twin.call.__self__ is twin.first
    assert twin.tag is not model.tag and twin.settings[3] is not model.settings[3]
    assert twin.settings["sizes"] == [1, 2, (3, 4)] and twin.settings["sizes"] is not model.settings["sizes"]
    assert "absent" in twin._modules and twin.absent is None
    twin(torch.ones(1, 4))
    assert twin.seen and not hasattr(model, "seen")  # the hook is bound to the copy
    own = {id(t) for t in model.parameters()}
    assert not any(id(t) in own for t in twin.parameters())


def test_the_same_as_deepcopy() -> None:
    for model in (Odd(), mlp(), nn.Sequential(WithOwnCopy(3, 3), nn.Linear(2, 2))):
        ours, theirs = copied(model, {}), copy.deepcopy(model)
        assert repr(ours) == repr(theirs)
        for left, right in zip(ours.modules(), theirs.modules(), strict=True):
            assert type(left) is type(right) and list(left.__dict__) == list(right.__dict__)
        assert [n for n, _ in ours.named_buffers()] == [n for n, _ in theirs.named_buffers()]
        assert all(map(torch.equal, ours.state_dict().values(), theirs.state_dict().values()))


def test_given_stand_ins_are_used() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    narrow = nn.Parameter(torch.zeros(1, 2))
    twin = copied(model, {id(model[0].weight): narrow})
    assert twin[0].weight is narrow and twin[1].weight is narrow


def test_a_recurrent_layer_still_runs() -> None:
    lstm = nn.LSTM(3, 4)
    twin = copied(lstm, {})
    x = torch.randn(2, 1, 3)
    assert torch.equal(twin(x)[0], lstm(x)[0])
    assert twin._flat_weights[0] is twin.weight_ih_l0


def test_what_cannot_be_copied_says_so() -> None:
    with pytest.raises(ModelError, match="cannot be copied"):
        copied(nn.Sequential(Uncopyable()), {})
