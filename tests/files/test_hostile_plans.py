"""Plan files with hostile values for the edits that grow, merge, sparsify and quantize: refused, in one clear error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import netsmith
from block_networks import images, stacked
from netsmith.errors import FileError, NetsmithError, PlanError
from netsmith.files.plan_file import checksum
from netsmith.plans import Plan, ReplaceBlock, plan_blocks, plan_fusion, plan_precision, plan_sparsity
from netsmith.plans.deepening import plan_insertion
from netsmith.wiring import Wiring

HUGE = 2**31 - 1


def _insert(wiring: Wiring) -> Plan:
    return plan_insertion(wiring, ["blocks.1"])


def _sparse(wiring: Wiring) -> Plan:
    return plan_sparsity(wiring, share=0.4, scope="layer")


def _integers(wiring: Wiring) -> Plan:
    pytest.importorskip("torchao")
    return plan_precision(wiring, scheme="int8")


def _replace(wiring: Wiring) -> Plan:
    return plan_blocks(wiring, [ReplaceBlock("blocks.2", "conv2d", 6)])


@pytest.mark.parametrize(
    ("make", "change", "error", "message"),
    [
        (_sparse, {"shape": [HUGE] * 8}, FileError, "masks of more than 17,179,869,184 weights"),
        (_sparse, {"shape": [HUGE, 4]}, FileError, "does not hold 8589934588 bits"),
        (_sparse, {"shape": [3, 6, 1, 1]}, PlanError, r"stem.weight is \(6, 3, 1, 1\), the plan expects"),
        (_sparse, {"tensor": "nowhere"}, PlanError, "nowhere is missing"),
        (_sparse, {"tensor": "stem\x1b[0m.weight"}, FileError, "cannot be printed"),
        (_integers, {"tensor": "nowhere"}, PlanError, "there is no tensor nowhere"),
        (_integers, {"tensor": "stem.bias"}, PlanError, "which a conv2d cannot store"),
        (_integers, {"group": 5}, PlanError, "cannot store in groups of 5"),
        (_insert, {"numbers": {"forward:x": 3}}, PlanError, "no whole number 'forward:x'"),
        (_insert, {"numbers": {":__class__": 3}}, FileError, "special attribute"),
        (_insert, {"numbers": {":layer_index": 10**30}}, FileError, "less than or equal to"),
        (_insert, {"numbers": {"conv1:training": 1}}, PlanError, "no whole number 'conv1:training'"),
        (_insert, {"lists": ["blocks:_modules"]}, PlanError, "is no list"),
        (_insert, {"zeros": ["../conv1.weight"]}, PlanError, "no parameter '../conv1.weight'"),
        (plan_fusion, {"then": ["fc"]}, FileError, "then lie in the last one"),
        (plan_fusion, {"shape": [HUGE] * 4}, PlanError, "no tensor has the shape"),
        (plan_fusion, {"layers": ["stem", "fc"], "into": "stem"}, PlanError, "cannot be merged in this model"),
        (_replace, {"outputs": HUGE, "kernel": 64}, NetsmithError, r"blocks\.2"),
    ],
)
def test_hostile_values(
    make: Callable[[Wiring], Plan], change: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    model = stacked()
    plan = make(netsmith.trace(model, images(1)))
    netsmith.save(netsmith.apply(model, plan), tmp_path / "m", plan=plan)
    file = tmp_path / "m" / "plan.json"
    record = json.loads(file.read_text())
    record["edits"][0].update(change)
    record.pop("checksum")
    file.write_text(json.dumps(record | {"checksum": checksum(record)}))
    with pytest.raises(error, match=message):
        netsmith.load(tmp_path / "m", stacked)
