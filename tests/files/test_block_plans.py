"""Plans of blocks and chained plans in files: bit by bit back, and damaged ones refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import netsmith
from block_networks import Narrowing, images, stacked
from netsmith.errors import FileError, PlanError
from netsmith.files import load_plan, plan_from_json, plan_to_json
from netsmith.files.plan_file import checksum
from netsmith.plans import Plan, RemoveBlock, ReplaceBlock, plan_blocks, plan_removal


def made(edits: list[Any]) -> tuple[Plan, torch.nn.Module]:
    model = stacked()
    plan = plan_blocks(netsmith.trace(model, images(1)), edits)
    return plan, netsmith.apply(model, plan)


@pytest.mark.parametrize(
    "edits",
    [
        [RemoveBlock("blocks.1"), RemoveBlock("alone", delete=False)],
        [RemoveBlock("blocks.0"), ReplaceBlock("blocks.2", "conv2d", 6), ReplaceBlock("alone", "channels", 6)],
    ],
)
def test_blocks_come_back(edits: list[Any], tmp_path: Path) -> None:
    plan, model = made(edits)
    assert plan_from_json(plan_to_json(plan)) == plan
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)  # the values are those of the file
    netsmith.save(model, tmp_path / "m", plan=plan)
    again = netsmith.load(tmp_path / "m", stacked)
    assert load_plan(tmp_path / "m") == plan
    assert torch.equal(again(images()), model.eval()(images()))
    assert "| `alone` |" in (tmp_path / "m" / "card.md").read_text()


@pytest.mark.parametrize("first", ["blocks", "widths"])
def test_a_chain_comes_back(first: str, tmp_path: Path) -> None:
    model = stacked()

    def blocks(wiring: netsmith.Wiring) -> Plan:
        return plan_blocks(wiring, [RemoveBlock("blocks.1")])

    def widths(wiring: netsmith.Wiring) -> Plan:
        return plan_removal(wiring, keep=0.5)

    before, then = (blocks, widths) if first == "blocks" else (widths, blocks)
    earlier = before(netsmith.trace(model, images(1)))
    between = netsmith.apply(model, earlier)
    plan = then(netsmith.trace(between, images(1))).after(earlier)
    small = netsmith.apply(model, plan)
    netsmith.save(small, tmp_path / "m", plan=plan)
    assert load_plan(tmp_path / "m") == plan
    again = netsmith.load(tmp_path / "m", stacked)
    assert torch.equal(again(images()), small(images()))
    assert len(again.blocks) == 3 and again.stem.out_channels == 3
    with pytest.raises(PlanError, match="does not belong to the model that build"):
        netsmith.load(tmp_path / "m", lambda: stacked(8))


def test_files_of_the_first_version_are_read() -> None:
    plan = plan_removal(netsmith.trace(stacked(), images(1)), keep=0.5)
    record = plan_to_json(plan) | {"version": 1}
    del record["before"], record["checksum"]
    assert plan_from_json(record | {"checksum": checksum(record)}) == plan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["edits"][0].update(block="a.__class__"), r"edits\.0\.block: .*special attribute"),
        (lambda r: r["edits"][0].update(block=""), r"edits\.0\.block: .*1 to 512 characters"),
        (lambda r: r["edits"][0].update(delete="no"), r"edits\.0\.delete: Input should be a valid boolean"),
        (lambda r: r["edits"][0].update(lists=[":x.__dict__"]), r"edits\.0\.lists\.0: .*special attribute"),
        (lambda r: r["edits"].append(r["edits"][0]), r"contradicts itself: block 'blocks\.0' is edited twice"),
        (lambda r: r["edits"][0].update(block="blocks"), r"contradicts itself: an edited block lies inside 'blocks'"),
        (lambda r: r["edits"][1].update(map="lambda"), r"edits\.1\.map: Input should be 'linear', 'conv2d' or"),
        (lambda r: r["edits"][1].update(width=0), r"edits\.1\.width: Input should be greater than or equal to 1"),
        (lambda r: r.update(sizes={"a": 3}), r"contradicts itself: only a plan that changes widths has layouts"),
        (lambda r: r.update(before=[{}]), r"before\.0\.fingerprint: Field required"),
        (lambda r: r.update(before="x"), r"before: Input should be a valid list"),
        (lambda r: r.update(before=[step(r)] * 65), r"before: List should have at most 64 items"),
    ],
)  # fmt: skip
def test_every_fault_names_its_field(change: Callable[[dict[str, Any]], object], message: str) -> None:
    record = json.loads(
        json.dumps(plan_to_json(made([RemoveBlock("blocks.0"), ReplaceBlock("blocks.2", "conv2d", 6)])[0]))
    )
    change(record)
    record.pop("checksum")
    with pytest.raises(FileError, match=message) as caught:
        plan_from_json(record | {"checksum": checksum(record)}, "out/plan.json")
    assert str(caught.value).startswith("out/plan.json: ")


def step(record: dict[str, Any]) -> dict[str, Any]:
    return {key: record[key] for key in ("fingerprint", "edits", "sizes", "layouts", "attributes", "refitted", "left")}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["edits"][0].update(block="nowhere"), "has no module 'nowhere'"),
        (lambda r: r["edits"][0].update(block="stem"), "'stem' is no item of an nn.Sequential"),
        (lambda r: r["edits"][0].update(lists=["blocks:_modules"]), "attribute 'blocks:_modules' is no list"),
        (lambda r: r["edits"][1].update(width=2**31 - 1), "'blocks.2' has no parameter of 2147483647 units"),
        (lambda r: r.update(attributes={"blocks.0:training": [1, 0]}), "attribute 'blocks.0:training' is None"),
        (lambda r: r.update(attributes={":forward.x": [1, 0]}), "attribute ':forward.x' is None"),
    ],
)  # fmt: skip
def test_a_plan_that_reaches_elsewhere_is_refused(
    change: Callable[[dict[str, Any]], object], message: str, tmp_path: Path
) -> None:
    plan, model = made([RemoveBlock("blocks.0"), ReplaceBlock("blocks.2", "conv2d", 6)])
    netsmith.save(model, tmp_path / "m", plan=plan)
    file = tmp_path / "m" / "plan.json"
    record = json.loads(file.read_text())
    change(record)
    record.pop("checksum")
    file.write_text(json.dumps(record | {"checksum": checksum(record)}))
    with pytest.raises(PlanError, match=message):
        netsmith.load(tmp_path / "m", stacked)


def test_a_map_that_changes_the_shape_comes_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x = Narrowing().eval(), torch.randn(2, 3, 6, 6)
    plan = plan_blocks(netsmith.trace(model, x), [ReplaceBlock("two.0", "conv2d", 4, 8, 2, 2)])
    small = netsmith.apply(model, plan)
    assert plan_from_json(plan_to_json(plan)) == plan and netsmith.verify(model, small, plan, x)
    netsmith.save(small, tmp_path / "m", plan=plan)
    assert torch.equal(netsmith.load(tmp_path / "m", Narrowing)(x), small(x))
    with pytest.raises(PlanError, match="only a conv2d map has other outputs, a stride or a kernel"):
        Plan((ReplaceBlock("two.0", "linear", 4, 8),), {}, {}, {}, "")
    with pytest.raises(PlanError, match=r"without two\.0 the model would be another"):
        plan_blocks(netsmith.trace(model, x), [ReplaceBlock("two.0", "conv2d", 4, 8, 1, 1)])
