"""The places that hold tensors and integers."""

from __future__ import annotations

import torch
from torch import nn

from netsmith.wiring import fingerprint, int_slots, tensor_slots
from netsmith.wiring.slots import clear_tensor_caches, map_ints


class TextConfig:
    def __init__(self) -> None:
        self.width = 7


class Config:
    def __init__(self) -> None:
        self.hidden = 16
        self.name = "x"
        self.text = TextConfig()
        self.itself = self


class Holder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.BatchNorm1d(4)
        self.plain = torch.zeros(2)
        self.several = [torch.zeros(3), torch.ones(3), "no tensor"]
        self.register_buffer("hidden", torch.zeros(5), persistent=False)
        self.tied = nn.Linear(4, 4)
        self.tied.weight = nn.Parameter(torch.zeros(4, 4))
        self.again = self.tied.weight
        self.width, self.one, self.flag, self.ratio = 9, 1, True, 2.0
        self.shape, self.nested, self.long = (2, 3), [[4, 1], (5,)], list(range(100))
        self.config = Config()
        self.cache = {"mask": torch.zeros(2)}


def test_tensor_slots() -> None:
    model = Holder()
    slots = {slot.name: slot for slot in tensor_slots(model)}
    assert set(slots) == {
        "plain", "several.0", "several.1", "hidden", "again", "tied.weight", "tied.bias", "inner.weight", "inner.bias",
        "inner.running_mean", "inner.running_var", "inner.num_batches_tracked",
    }  # fmt: skip
    assert slots["again"].tensor is slots["tied.weight"].tensor
    assert set(model.state_dict()) <= set(slots)
    for slot in slots.values():
        assert slot.holder[slot.key] is slot.tensor
    new = torch.full((2,), 5.0)
    slots["plain"].holder[slots["plain"].key] = new
    slots["several.1"].holder[slots["several.1"].key] = new
    assert model.plain is new and model.several[1] is new


def test_recurrent_layers_list_their_weights_once() -> None:
    assert [slot.name for slot in tensor_slots(nn.GRU(2, 3))] == [
        "weight_ih_l0",
        "weight_hh_l0",
        "bias_ih_l0",
        "bias_hh_l0",
    ]


def test_int_slots() -> None:
    model = Holder()
    found = {slot.key: slot.value for slot in int_slots(model)}
    assert found[":width"] == 9 and found[":shape"] == (2, 3) and found[":nested"] == [[4, 1], (5,)]
    assert found[":config.hidden"] == 16 and found[":config.text.width"] == 7
    assert found["inner:num_features"] == 4 and found["tied:in_features"] == 4
    for absent in (":one", ":flag", ":ratio", ":long", ":training"):
        assert absent not in found
    for slot in int_slots(model):
        slot.holder[slot.name] = map_ints(slot.value, slot.key, lambda key, value: value + 1)
    assert (model.width, model.shape, model.nested) == (10, (3, 4), [[5, 1], (6,)])
    assert model.config.hidden == 17 and model.config.text.width == 8


def test_shared_configuration_comes_once() -> None:
    model = nn.Sequential(Holder(), Holder())
    model[1].config = model[0].config
    assert sum(slot.key.endswith("config.hidden") for slot in int_slots(model)) == 1


def test_map_ints_names_items() -> None:
    keys: list[str] = []
    assert map_ints((2, [3, 1]), "m:shape", lambda key, value: keys.append(key) or value) == (2, [3, 1])
    assert keys == ["m:shape[0]", "m:shape[1][0]"]
    size = map_ints(torch.Size([2, 3]), "m:size", lambda key, value: value)
    assert isinstance(size, torch.Size) and size == (2, 3)


def test_caches_of_tensors_are_emptied() -> None:
    model = Holder()
    model._private = {"x": torch.zeros(1)}
    model.settings = {"x": torch.zeros(1), "y": 3}
    clear_tensor_caches(model)
    assert model.cache == {} and len(model._private) == 1 and len(model.settings) == 2


def test_fingerprint_is_of_the_structure() -> None:
    a, b = nn.Linear(3, 4), nn.Linear(3, 4)
    assert fingerprint(a) == fingerprint(b) == fingerprint(b.half()) == fingerprint(b.to("meta"))
    assert fingerprint(a) != fingerprint(nn.Linear(4, 3))
    assert fingerprint(a) != fingerprint(nn.Linear(3, 4, bias=False))
    assert fingerprint(a) != fingerprint(nn.Sequential(a))
