"""Taking modules out, renumbering, and the numbers that follow."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from block_networks import Placed, images, stacked
from netsmith.errors import PlanError
from netsmith.wiring.depth import drop_entries, is_item, number_at, renamed, shared_with, shell, take_out, write_numbers


def test_a_shell_shares_tensors_and_nothing_else() -> None:
    model = stacked()
    twin = shell(model)
    take_out(twin, {"blocks.1": None})
    assert len(model.blocks) == 4 and len(twin.blocks) == 3
    assert twin.blocks[1].conv1.weight is model.blocks[2].conv1.weight


def test_deleted_items_are_renumbered_and_run() -> None:
    model = stacked()
    twin = shell(model)
    take_out(twin, {"blocks.0": None, "blocks.2": None, "alone": nn.Identity()})
    assert list(twin.blocks._modules) == ["0", "1"] and isinstance(twin.alone, nn.Identity)
    x = torch.relu(model.stem(images()))
    assert torch.equal(twin(images()), model.fc(model.blocks[3](model.blocks[1](x)).mean((2, 3))))


def test_inner_items_go_before_outer_ones() -> None:
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3)), nn.ReLU(), nn.Tanh())
    take_out(model, {"1": None, "0.0": None})
    assert [type(m) for m in model] == [nn.Sequential, nn.Tanh] and model[0][0].out_features == 3


def test_names_of_other_items_are_kept() -> None:
    model = nn.Sequential()
    for name in ("first", "second", "third"):
        model.add_module(name, nn.Linear(2, 2))
    take_out(model, {"second": None})
    assert list(model._modules) == ["first", "third"]


@pytest.mark.parametrize(
    ("name", "new"),
    [
        ("blocks.0.conv1.weight", "blocks.0.conv1.weight"),
        ("blocks.1.conv1.weight", None),
        ("blocks.3.conv1.weight", "blocks.1.conv1.weight"),
        ("blocks.10.0", "blocks.8.0"),
        ("other.3.weight", "other.3.weight"),
        ("blocks.1x", "blocks.1x"),
    ],
)
def test_new_names(name: str, new: str | None) -> None:
    assert renamed(name, ["blocks.1", "blocks.2"]) == new


def test_what_cannot_be_deleted() -> None:
    model = stacked()
    for path, message in [
        ("nowhere", "Stacked has no module 'nowhere'"),
        ("alone", "'alone' is no item of an nn.Sequential or nn.ModuleList"),
    ]:
        with pytest.raises(PlanError, match=message):
            take_out(shell(model), {path: None})
    shared = Placed("shared")
    assert shared_with(shared, "layers.0") == "layers.3" and shared_with(shared, "layers.1") is None
    with pytest.raises(PlanError, match=r"'layers\.0' is shared with 'layers\.3'"):
        take_out(shell(shared), {"layers.0": None})
    assert not is_item(model, "alone") and is_item(model, "blocks.2")
    assert not is_item(nn.ModuleDict({"0": nn.Linear(2, 2)}), "0")


def test_numbers_are_written_where_they_were() -> None:
    model = Placed()
    model.settings = SimpleNamespace(depths=[2, 3], kinds=("a", "b", "c"))
    write_numbers(model, {":depth": (3, 2), ":settings.depths[1]": (3, 2), "layers.1:index": (1, 0)})
    assert model.depth == 2 and model.settings.depths == [2, 2] and model.layers[1].index == 0
    drop_entries(model, ":settings.kinds", [0, 2])
    assert model.settings.kinds == ("b",)
    assert number_at(model, ":settings.depths[5]") is None and number_at(model, ":training") is None


@pytest.mark.parametrize(
    ("key", "values", "message"),
    [
        (":depth", (4, 2), "attribute ':depth' is 3; the plan expects the whole number 4"),
        (":training", (1, 0), "attribute ':training' is None; the plan expects the whole number 1"),
        (":nothing", (3, 2), "attribute ':nothing' is None"),
        (":depth", (3, 2.5), "attribute ':depth' is 3; the plan expects the whole number 3"),
        ("layers.9:index", (3, 2), r"attribute 'layers\.9:index' is None"),
        (":head.in_features", (4, 3), r"attribute ':head\.in_features' is None"),
    ],
)
def test_numbers_that_do_not_fit(key: str, values: tuple[float, float], message: str) -> None:
    model = Placed()
    with pytest.raises(PlanError, match=message):
        write_numbers(model, {key: values})
    assert model.depth == 3


def test_lists_that_do_not_fit() -> None:
    model = Placed()
    for key in (":kind", ":_modules", ":kinds"):
        with pytest.raises(PlanError, match=f"attribute '{key}'"):
            drop_entries(model, key, [0])
