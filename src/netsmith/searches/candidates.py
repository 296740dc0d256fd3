"""What can be cut: whole blocks, branches inside them, blocks that change the shape; and what each would save."""

from __future__ import annotations

from collections.abc import Iterable

from ..costs import macs_of
from ..errors import PlanError
from ..plans import RemoveBlock, RemoveBranch, ReplaceBlock, plan_blocks
from ..plans.depth import removals
from ..wiring import Transition, Wiring
from ..wiring.layouts import layout_size


def candidates(wiring: Wiring) -> tuple[dict[str, RemoveBlock], dict[str, str]]:
    """The blocks that can be cut, with the edit that does it; and block -> why not, for those that cannot.

    Of blocks inside blocks the outer one, unless it holds several items that could go one by one.
    """
    plans, left = removals(wiring)
    edits = {name: plan.edits[0] for name, plan in plans.items()}
    found = {name: edit for name, edit in edits.items() if isinstance(edit, RemoveBlock)}
    items = [name for name, edit in found.items() if edit.delete]
    whole = [name for name in found if sum(item.startswith(f"{name}.") for item in items) < 2]
    outer = [name for name in whole if not any(name.startswith(f"{other}.") for other in whole)]
    inside = tuple(f"{name}." for name in outer)
    return {name: found[name] for name in outer}, {n: why for n, why in left.items() if not n.startswith(inside)}


def branch_candidates(wiring: Wiring, blocks: Iterable[str]) -> tuple[dict[str, RemoveBranch], dict[str, str]]:
    """As ``candidates``, for branches, not yet proved.

    Without those that are all of a block that can be cut: to cut the block is the same, and saves more.
    """
    found: dict[str, RemoveBranch] = {}
    left: dict[str, str] = {}
    matrices = {name for name, tensor in wiring.tensors.items() if tensor.dim() > 1}
    owned = {block: {name for name in matrices if name.startswith(f"{block}.")} for block in blocks}
    for branch in wiring.branches:
        own = {name for name in matrices if any(name.startswith(f"{path}.") for path in branch.modules)}
        if branch.name in owned or any(held and held <= own for held in owned.values()):
            continue
        if branch.kept is not None:
            left[branch.name] = f"{branch.name!r} must stay: {branch.kept}"
        else:
            found[branch.name] = RemoveBranch(branch.name, branch.modules, branch.returns)
    return found, left


def map_candidates(wiring: Wiring, blocks: Iterable[str], kind: str) -> dict[str, ReplaceBlock]:
    """Blocks that this kind of affine map (see ``ReplaceBlock``) can stand in for, with the edit that puts it there."""
    found: dict[str, ReplaceBlock] = {}
    for block in blocks:
        result = wiring.parts[block].result
        dims = wiring.calls[result.call].outputs[result.output]
        images = len(dims) == 4
        if len(dims) < 2 or images == (kind == "linear"):
            continue
        edit = ReplaceBlock(block, kind, layout_size(dims[1 if images else -1], wiring.sizes))  # type: ignore[arg-type]
        try:
            plan_blocks(wiring, [edit])
        except PlanError:  # forward gives the block more than a map takes
            continue
        found[block] = edit
    return found


def transition_candidates(wiring: Wiring) -> dict[str, Transition]:
    """Blocks that change the shape, in whose place a map may come."""
    return {part.name: part for part in wiring.transitions if part.kept is None}


def saving(wiring: Wiring, name: str, what: str) -> float:
    """What a block or branch costs: its "params", else its multiply-accumulates; ≥ 1."""
    part = wiring.parts[name]
    return float(max(1, part.params if what == "params" else macs_of(wiring, part.first_call, part.last_call)))
