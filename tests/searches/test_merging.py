"""Which blocks merge, how, and what is proved of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import netsmith
from block_networks import Placed, images, stacked
from netsmith.errors import EvidenceError, InputError
from netsmith.plans import MergeBlocks, plan_fusion
from netsmith.recovery import rejoin
from netsmith.searches import plan_merge

DATA = [torch.randn(32, 3, 5, 5, generator=torch.Generator().manual_seed(i)) for i in range(4)]


def test_the_most_similar_pair_goes_first() -> None:
    model = stacked()
    with torch.no_grad():  # the third block does nearly nothing: it gives what the second gives
        model.blocks[2].conv2.weight.mul_(0.01)
        model.blocks[2].conv2.bias.zero_()
    plan = plan_merge(netsmith.trace(model, images(1)), pairs=1, data=DATA)
    (edit,) = plan.edits
    assert isinstance(edit, MergeBlocks) and (edit.block, edit.into) == ("blocks.2", "blocks.1")
    assert "merged into blocks.1" in str(plan)
    assert plan.left["blocks.0"] == "no block of the same form comes right before it"


def test_equal_blocks_and_their_average() -> None:
    model = stacked()
    model.blocks[1].load_state_dict(model.blocks[0].state_dict())
    with torch.no_grad():
        for parameter in model.blocks[1].parameters():
            parameter.add_(0.01)
    plan = plan_merge(netsmith.trace(model, images(1)), threshold=1e-6, data=DATA)
    groups = {edit.block: edit.into for edit in plan.block_edits if isinstance(edit, MergeBlocks)}
    assert set(groups.values()) == {"blocks.0"} and set(groups) == {"blocks.1", "blocks.2", "blocks.3", "alone"}
    assert netsmith.verify(model, netsmith.apply(model, plan), plan, images(2)).ok


def test_merged_refitted_saved_and_loaded(tmp_path: Path) -> None:
    model = stacked()
    wiring = netsmith.trace(model, images(1))
    plan = plan_merge(wiring, pairs=2, data=DATA)
    done = rejoin(wiring, plan, DATA)
    assert netsmith.verify(model, done.model, done.plan, images(2)).ok
    netsmith.save(done.model, tmp_path / "short", plan=done.plan)
    again = netsmith.load(tmp_path / "short", stacked)
    assert torch.equal(again(images(2)), done.model(images(2)))
    assert "merged into" in (tmp_path / "short" / "card.md").read_text()


def test_without_pairs_it_merges_exactly() -> None:
    wiring = netsmith.trace(stacked(), images(1))
    assert plan_merge(wiring) == plan_fusion(wiring)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"pairs": 1, "threshold": 0.9, "data": DATA}, "not both"),
        ({"pairs": 0, "data": DATA}, "pairs=0 must be an int ≥ 1"),
        ({"threshold": 1.5, "data": DATA}, r"threshold=1\.5 must be a similarity in"),
        ({"pairs": 1}, "needs data"),
        ({"pairs": 9, "data": DATA}, "pairs=9, but only 4 blocks can be merged into the one before"),
    ],
)
def test_what_is_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        plan_merge(netsmith.trace(stacked(), images(1)), **options)


def test_what_cannot_be_measured() -> None:
    with pytest.raises(InputError, match="wiring is a Placed; give what trace"):
        plan_merge(Placed())  # type: ignore[arg-type]
    model = stacked()
    with torch.no_grad():
        model.fc.weight[0] = float("nan")
    with pytest.raises(EvidenceError, match="not finite"):
        plan_merge(netsmith.trace(model, images(1)), pairs=1, data=DATA)
