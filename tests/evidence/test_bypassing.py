"""Modules that return a function of their input: what others see, and that nothing stays behind."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from block_networks import images, stacked
from netsmith.evidence.bypassing import bypassed


def test_the_input_or_a_function_of_it() -> None:
    model = stacked()
    x = torch.relu(model.stem(images()))
    with bypassed(model, {"blocks.0": None, "blocks.1": None, "blocks.2": None, "blocks.3": lambda t: 2 * t}):
        assert torch.equal(model(images()), model.fc(model.alone(2 * x).mean((2, 3))))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_tuples_keywords_and_blocks_that_overwrite_their_input() -> None:
    class Rough(nn.Module):
        def forward(self, *, hidden: torch.Tensor, scale: float) -> tuple[torch.Tensor, str]:
            return hidden.mul_(scale), "kept"

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rough = Rough()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y, word = self.rough(hidden=x, scale=3.0)
            assert word == "kept"
            return x + y

    model, x = Model(), torch.ones(2)
    with bypassed(model, {"rough": None}):
        assert torch.equal(model(x.clone()), 2 * x)
    assert torch.equal(model(x.clone()), 6 * x)


def test_a_dict_with_attributes_stays_one() -> None:
    class Output(OrderedDict):  # as transformers' ModelOutput: items are attributes too
        def __setitem__(self, key: str, value: torch.Tensor) -> None:
            super().__setitem__(key, value)
            super().__setattr__(key, value)

    class Inner(nn.Module):
        def forward(self, x: torch.Tensor) -> Output:
            return Output(hidden=3 * x, pooled=x.sum())

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = self.inner(x)
            return out.hidden + out["pooled"]

    model, x = Model(), torch.ones(2)
    with bypassed(model, {"inner": None}):
        assert torch.equal(model(x), torch.full((2,), 3.0))
    assert torch.equal(model(x), torch.full((2,), 5.0))
