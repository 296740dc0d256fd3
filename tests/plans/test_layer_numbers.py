"""Which numbers follow deleted layers: indices, counts in configurations, lists with one entry a layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import netsmith
from netsmith.plans import RemoveBlock, plan_blocks
from netsmith.plans.layer_numbers import LayerNumbers, layer_numbers

X = torch.randn(2, 4)


class Layer(nn.Module):
    def __init__(self, **numbers: Any) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.__dict__.update(numbers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.linear(x).tanh()


def numbers_of(layers: list[Layer], *deleted: str) -> LayerNumbers:
    return next(layer_numbers(netsmith.trace(nn.Sequential(*layers), X), deleted))


def test_what_equals_the_place_in_every_layer_is_an_index() -> None:
    layers = [Layer(index=i, number=i + 1, width=4, same=0, flag=bool(i)) for i in range(4)]
    assert numbers_of(layers, "1").changes == {
        "2:index": (2, 1), "3:index": (3, 2), "2:number": (3, 2), "3:number": (4, 3)
    }  # fmt: skip
    assert numbers_of(layers, "0", "2").changes["3:index"] == (3, 1)
    assert numbers_of(layers, "3").changes == {}


def test_only_some_layers_may_have_an_index() -> None:
    layers = [Layer(), Layer(index=1), Layer(), Layer(index=3)]
    assert numbers_of(layers, "0").changes == {"1:index": (1, 0), "3:index": (3, 2)}


@pytest.mark.parametrize("values", [[1, 2], [2, 1, 0], [0, 0, 0], [1, 2, 4]])
def test_other_numbers_are_left_alone(values: list[int]) -> None:
    assert numbers_of([Layer(dilation=v) for v in values], "0").changes == {}


class Config:
    """Two stacks; ``kinds`` is as long as the first stack unless given, ``labels`` only happens to be."""

    def __init__(self, depths: tuple[int, ...] = (3, 2), layers: int = 3, kinds: list[str] | None = None) -> None:
        self.depths, self.layers, self.heads = list(depths), layers, 3
        self.kinds = kinds or ["a"] * layers
        self.labels = ["x", "y", "z"]

    def to_diff_dict(self) -> dict[str, Any]:
        return self.__dict__


class Model(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.total = config, config.layers
        self.layers = nn.ModuleList(Layer(kind=kind) for kind in config.kinds[: config.layers])
        self.tail = nn.ModuleList(Layer() for _ in range(config.depths[1]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in (*self.layers[: self.config.layers], *self.tail):
            x = layer(x)
        return x


def test_counts_and_lists_of_a_configuration() -> None:
    model = Model(Config(kinds=["a", "b", "c"]))
    plan = plan_blocks(netsmith.trace(model, X), [RemoveBlock("layers.1"), RemoveBlock("tail.0")])
    # heads and depths[0] equal 3 as well, but the constructor makes no stack of them
    assert plan.attributes == {":config.layers": (3, 2), ":config.depths[1]": (2, 1), ":total": (3, 2)}
    small = netsmith.apply(model, plan)
    assert small.config.kinds == ["a", "c"] and small.config.labels == ["x", "y", "z"]
    assert small.config.depths == [3, 1] and small.config.layers == 2 and small.config.heads == 3
    assert [layer.kind for layer in small.layers] == ["a", "c"]
    assert model.config.kinds == ["a", "b", "c"] and model.config.depths == [3, 2]


def test_a_stack_that_is_emptied_has_no_count() -> None:
    model = Model(Config(depths=(3, 2)))
    plan = plan_blocks(netsmith.trace(model, X), [RemoveBlock("tail.0"), RemoveBlock("tail.1")])
    assert plan.attributes == {} and len(netsmith.apply(model, plan).tail) == 0


def test_a_model_without_a_configuration() -> None:
    assert numbers_of([Layer(), Layer()], "1") == LayerNumbers({}, {"1": ()})
