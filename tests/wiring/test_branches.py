"""Which modules are found to be only added to a stream."""

from __future__ import annotations

import torch

import netsmith
from block_networks import Streamed


def found(kind: str) -> list[tuple[str, ...]]:
    wiring = netsmith.trace(Streamed(kind).eval(), torch.randn(2, 3))
    return [branch.modules for branch in wiring.branches if branch.kept is None]


def test_single_modules_and_rows_of_modules() -> None:
    both = [("layers.0.mix",), ("layers.0.up", "layers.0.down"), ("layers.1.mix",), ("layers.1.up", "layers.1.down")]
    for kind in ("pre", "post", "parallel", "scaled"):
        assert found(kind) == both, kind


def test_what_is_not_only_added_is_none() -> None:
    assert found("gated") == []
    assert found("peeked") == [("layers.0.up", "layers.0.down"), ("layers.1.up", "layers.1.down")]


def test_what_a_branch_says() -> None:
    wiring = netsmith.trace(Streamed("pre").eval(), torch.randn(2, 3))
    branch = wiring.branches[1]
    assert (branch.name, branch.kind, branch.params, branch.returns) == ("layers.0.down", "Linear", 58, (0, 0))
    assert wiring.calls[branch.result.call].module == "layers.0.down"
    assert wiring.parts["layers.0.mix"] is wiring.branches[0]  # also a block, but one without a shortcut
    assert "2 blocks" not in str(wiring) and "4 branches" in str(wiring)
