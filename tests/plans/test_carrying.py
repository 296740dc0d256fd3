"""Block edits carried out in place."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from block_networks import Placed, stacked
from netsmith.errors import PlanError
from netsmith.plans import BlockEdit, Plan, RemoveBlock, ReplaceBlock
from netsmith.plans.carrying import carry_out


def plan(*edits: BlockEdit, **attributes: tuple[float, float]) -> Plan:
    return Plan(edits, {}, {}, {f":{key}": value for key, value in attributes.items()}, "f")


def test_numbers_lists_and_modules_change() -> None:
    model = Placed()
    model.names = ["a", "b", "c"]
    carry_out(model, plan(RemoveBlock("layers.0", lists=(":names",)), RemoveBlock("layers.2", False), depth=(3, 2)))
    assert model.names == ["b", "c"] and model.depth == 2
    assert [type(layer).__name__ for layer in model.layers] == ["Layer", "Identity"]


@pytest.mark.parametrize(("kind", "shape"), [("conv2d", (6, 6, 1, 1)), ("channels", (6, 1, 1, 1)), ("linear", (6, 6))])
def test_maps_return_their_input_with_the_blocks_dtype_and_mode(kind: str, shape: tuple[int, ...]) -> None:
    model = stacked().double().train()
    carry_out(model, plan(ReplaceBlock("alone", kind, 6)))  # type: ignore[arg-type]
    made = model.alone
    assert type(made) is (nn.Linear if kind == "linear" else nn.Conv2d) and made.training
    assert made.weight.shape == shape and made.weight.dtype == torch.float64
    x = torch.randn(2, 6, 6, 6, dtype=torch.float64)
    assert torch.equal(made(x), x)


def test_it_works_on_meta() -> None:
    with torch.device("meta"):
        model = Placed()
    carry_out(model, plan(ReplaceBlock("layers.0", "linear", 4), RemoveBlock("layers.1")))
    assert len(model.layers) == 2 and model.layers[0].weight.is_meta


def test_what_does_not_fit() -> None:
    with pytest.raises(PlanError, match="Placed has no module 'nowhere'"):
        carry_out(Placed(), plan(RemoveBlock("nowhere", False)))
    with pytest.raises(PlanError, match=r"'layers\.0' has no parameter of 5 units"):
        carry_out(Placed(), plan(ReplaceBlock("layers.0", "linear", 5)))
