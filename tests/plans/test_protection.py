"""Name patterns protect inputs, outputs and parameters of what they match."""

from __future__ import annotations

from functools import cache

import pytest

import netsmith
from netsmith.errors import InputError, UnknownNameError
from netsmith.plans.protection import protected_axes
from small_networks import network


@cache
def wired(name: str):
    return netsmith.trace(*network(name))


def protected(name: str, *patterns: str) -> set[str]:
    wiring = wired(name)
    return protected_axes(wiring, patterns) & {axis.name for axis in wiring.free_axes}


def test_a_module_protects_what_enters_and_leaves_it() -> None:
    assert protected("mlp", "2") == {"0.weight:0", "2.weight:0"}
    assert protected("mlp", "1") == {"0.weight:0"}  # no parameters of its own
    assert protected("mlp", "0") == {"0.weight:0"}


def test_a_tensor_protects_its_dimensions() -> None:
    assert protected("residual", "conv1.weight") == {"stem.weight:0", "conv1.weight:0"}
    assert protected("residual", "bn1.running_mean") == {"conv1.weight:0"}


def test_an_axis_by_its_name() -> None:
    assert protected("residual", "conv1.weight:0") == {"conv1.weight:0"}


def test_wildcards_and_several_patterns() -> None:
    assert protected("concatenated", "left*", "right.*") == {"left.weight:0", "right.weight:0"}
    assert protected("mlp", "?.bias") == {"0.weight:0", "2.weight:0"}


def test_one_pattern_may_be_a_plain_string() -> None:
    assert "0.weight:0" in protected_axes(wired("mlp"), "0")


def test_a_tied_tensor_answers_to_both_names() -> None:
    assert protected("tied", "head.weight") == protected("tied", "embed.weight") == {"embed.weight:1"}


def test_no_pattern_protects_nothing() -> None:
    assert protected("mlp") == set()


def test_a_pattern_that_matches_nothing() -> None:
    with pytest.raises(
        UnknownNameError, match=r"'layer4\.\*' matches no module, tensor or axis; modules are named like"
    ):
        protected("residual", "conv1", "layer4.*")


@pytest.mark.parametrize("ignore", [5, [3], [None]])
def test_a_pattern_that_is_no_string(ignore: object) -> None:
    model, x = network("mlp")
    with pytest.raises(InputError, match="is no name pattern; give strings"):
        protected_axes(netsmith.trace(model, x), ignore)  # type: ignore[arg-type]
