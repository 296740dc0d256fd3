"""Masks of weights as text."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path

import pytest

import netsmith
from netsmith.errors import FileError, PlanError
from netsmith.files.bit_codec import decode_bits, encode_bits
from netsmith.files.plan_file import checksum, plan_from_json, plan_to_json
from netsmith.plans import plan_sparsity
from small_networks import NETWORKS, network


def test_there_and_back() -> None:
    assert decode_bits(encode_bits(b"\xa5\x80"), 9) == b"\xa5\x80"


@pytest.mark.parametrize(
    "text",
    [
        "!!",
        base64.b64encode(b"no zlib").decode(),
        encode_bits(b"\0"),
        encode_bits(b"\0\0\0"),
        encode_bits(b"\0\x01"),  # bits behind the last
        base64.b64encode(zlib.compress(b"\0" * 10**7)).decode(),
    ],
)
def test_other_text(text: str) -> None:
    with pytest.raises(PlanError, match="a mask of weights"):
        decode_bits(text, 9)


def test_a_sparse_model_there_and_back(tmp_path: Path) -> None:
    model, x = network("residual")
    plan = plan_sparsity(netsmith.trace(model, x), pattern="2:4")
    small = netsmith.apply(model, plan)
    netsmith.save(small, tmp_path / "small", plan=plan)
    assert netsmith.load(tmp_path / "small", NETWORKS["residual"][0])(x).equal(small(x))
    assert plan_from_json(plan_to_json(plan)) == plan
    assert "weights set to zero (2:4) |" in (tmp_path / "small" / "card.md").read_text()


def test_a_damaged_mask_in_a_plan() -> None:
    model, x = network("mlp")
    raw = plan_to_json(plan_sparsity(netsmith.trace(model, x), share=0.5))
    raw["edits"][0]["zeros"] = encode_bits(b"\0")
    raw["checksum"] = checksum({key: value for key, value in raw.items() if key != "checksum"})
    with pytest.raises(FileError, match="the plan contradicts itself: a mask of weights does not hold 96 bits"):
        plan_from_json(json.dumps(raw))
