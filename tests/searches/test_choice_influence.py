"""How much each choice for a block matters: a fitted map disturbs less than nothing in the block's place."""

from __future__ import annotations

import pytest
import torch

from netsmith.errors import EvidenceError
from netsmith.evidence import influence
from netsmith.searches import Space, find_menus
from netsmith.searches.choice_influence import choice_influence
from netsmith.wiring import trace
from search_problems import task

CHOICES = Space(widths=False, depth=True, operators=("linear",))


def test_a_block_that_goes_matters_as_influence_says_and_a_map_less() -> None:
    model, x, data = task()
    wiring = trace(model, x)
    told: list[tuple[int, int, str]] = []
    choices = find_menus(wiring, CHOICES).blocks
    found = choice_influence(wiring, data, choices, progress=lambda *each: told.append(each))
    assert list(found) == list(choices) and len(told) == 6 and told[-1][:2] == (6, 6)
    alone = influence(wiring, data, blocks=[f"blocks.{i}" for i in range(3)])
    for block, score in alone.items():
        assert found[block] == pytest.approx(score)
        assert 0 < found[f"{block} as linear"] < found[block]


def test_a_block_that_is_a_map_is_free_to_become_one() -> None:
    model, x, data = task()
    with torch.no_grad():
        model.blocks[1].wide.bias.fill_(100)  # type: ignore[union-attr, index]  # nothing is cut off
    wiring = trace(model, x)
    found = choice_influence(wiring, data, find_menus(wiring, CHOICES).blocks)
    assert found["blocks.1 as linear"] < 1e-3 * found["blocks.1"]


def test_bad_data() -> None:
    model, x, _ = task()
    wiring = trace(model, x)
    with pytest.raises(EvidenceError):
        choice_influence(wiring, [], find_menus(wiring, CHOICES).blocks)
