"""Plans of merges as JSON."""

from __future__ import annotations

from typing import Any

import pytest

from netsmith.errors import FileError
from netsmith.files import plan_from_json, plan_to_json
from netsmith.files.plan_file import checksum
from netsmith.plans import FuseLayers, MergeBlocks, Plan

FUSION = Plan(
    (FuseLayers(("a", "b"), "a", (2, 3, 8, 8), ("b.act",)), FuseLayers(("c",), "c", (1, 4))), {}, {}, {}, "ab"
)
MERGE = Plan((MergeBlocks("l.1", True, (":config.kinds",), "l.0", "differences"),), {}, {}, {}, "cd")


def test_what_goes_in_comes_out() -> None:
    for plan in (FUSION, MERGE, FUSION.after(MERGE)):
        assert plan_from_json(plan_to_json(plan)) == plan


@pytest.mark.parametrize(
    ("plan", "change", "why"),
    [
        (FUSION, {"shape": [0, 3]}, "edits.0.shape.0: Input should be greater than or equal to 1"),
        (FUSION, {"layers": []}, "edits.0.layers: List should have at least 1 item"),
        (FUSION, {"into": "c"}, "it must be one of its layers"),
        (FUSION, {"then": ["elsewhere"]}, "and then lie in the last one"),
        (MERGE, {"how": "magic"}, "edits.0.how: Input should be 'average', 'differences' or 'first'"),
        (MERGE, {"into": "l.1"}, "which is edited too"),
    ],
)
def test_what_a_plan_cannot_hold(plan: Plan, change: dict[str, Any], why: str) -> None:
    record = plan_to_json(plan)
    record["edits"][0] |= change
    del record["checksum"]
    record["checksum"] = checksum(record)
    with pytest.raises(FileError, match=why):
        plan_from_json(record)
