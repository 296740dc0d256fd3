"""Programs that take any batch size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from netsmith.costs.free_batch import exported, free_dimensions, with_batch, with_floats, with_two
from netsmith.errors import CaptureError, InputError


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, *, values, offset):
        return self.fc(values) + offset


def test_one_example_is_exported_for_any_number_and_the_model_is_left_alone() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout()).train()
    program = exported(model, torch.randn(1, 3)).module()
    assert all(module.training for module in model.modules())
    for size in (1, 2, 5):
        x = torch.randn(size, 3)
        assert program(x).equal(model[0](x))


def test_keywords_and_tensors_without_the_batch() -> None:
    model, inputs = Named(), {"values": torch.randn(4, 3), "offset": torch.randn(2)}
    program = exported(model, inputs).module()
    larger = with_batch(inputs, 7)
    assert larger["values"].shape == (7, 3) and larger["offset"] is inputs["offset"]
    assert torch.allclose(program(**larger), model(**larger))
    free = free_dimensions(inputs, model)
    assert list(free["values"]) == [0] and free["offset"] == {}


def test_a_forward_that_takes_any_arguments() -> None:
    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Bilinear(3, 2, 2)

        def forward(self, *args: torch.Tensor, **kwargs: torch.Tensor) -> torch.Tensor:
            return self.inner(*args, **kwargs)

    inputs = torch.randn(4, 3), torch.randn(4, 2)
    assert exported(Around(), inputs).module()(*with_batch(inputs, 7)).shape == (7, 2)


def test_one_example_becomes_two() -> None:
    assert with_two(torch.ones(1, 3)).shape == (2, 3)
    x = torch.ones(3, 3)
    assert with_two(x) is x


def test_a_model_of_floats_is_not_copied() -> None:
    model = nn.Linear(2, 2)
    assert with_floats(model) is model


def test_a_forward_that_looks_at_values() -> None:
    class Looks(nn.Module):
        def forward(self, x):
            return x if float(x.sum()) > 0 else -x

    with pytest.raises(CaptureError, match="torch.export cannot follow Looks"):
        exported(Looks(), torch.ones(2, 2), free_batch=False)


def test_no_module() -> None:
    with pytest.raises(InputError, match="model is a str"):
        exported("model", torch.ones(1))  # type: ignore[arg-type]
