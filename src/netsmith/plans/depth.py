"""From blocks to a plan that is known to run: the edits, the numbers that follow them, and the proof."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..errors import PlanError, UnknownNameError
from ..wiring import Block, Branch, Wiring
from ..wiring.collector import no_collections
from ..wiring.depth import is_item, shared_with, shell
from ..wiring.without import ZEROS, Gone, difference
from .carrying import carry_out
from .edits import BlockEdit, MergeBlocks, RemoveBlock, RemoveBranch, ReplaceBlock
from .layer_numbers import LayerNumbers, layer_numbers
from .plan import Plan

_STAND_INS = {"linear": "linear", "conv2d": "conv2d", "channels": "conv2d"}


@no_collections()
def plan_blocks(wiring: Wiring, edits: Sequence[BlockEdit]) -> Plan:
    """The plan that carries out these block edits, proved on a twin of the model.

    What refers to a deleted item follows: the indices that later items carry, the number of layers in a configuration
    object and its lists with one entry a layer.

    Args:
        wiring: of the model.
        edits: none on a block inside another's.

    Raises:
        UnknownNameError: a block that the wiring does not have.
        PlanError: a twin without the blocks did not do what the model does around them; the message says where.
    """
    parts = {edit.block: _part(wiring, edit) for edit in edits}
    ordered = sorted(edits, key=lambda e: parts[e.block].first_call)
    gone = blocks_gone(wiring, ordered)
    deleted = [e.block for e in ordered if isinstance(e, RemoveBlock) and e.delete]
    silent = [path for e in ordered if isinstance(e, RemoveBranch) for path in e.modules]
    why = "nothing to change"
    for numbers in layer_numbers(wiring, deleted, silent=silent):
        plan = _plan(wiring, ordered, numbers)
        twin = shell(wiring.model)
        carry_out(twin, plan)
        found = difference(wiring, twin, gone, plan.renamed)
        if found is None:
            return plan
        why = found
    raise PlanError(f"without {', '.join(e.block for e in ordered)} the model would be another: {why}")


def blocks_gone(wiring: Wiring, edits: Sequence[BlockEdit]) -> list[Gone]:
    """The blocks and branches that edits take out, with the functions that are called instead, and where."""
    plan = Plan(tuple(edits), {}, {}, {}, "")
    return [Gone(_part(wiring, e), _stand_in(e), plan.place(e.block) or "") for e in edits]


def _stand_in(edit: BlockEdit) -> str:
    if isinstance(edit, RemoveBranch):
        return ZEROS
    return _STAND_INS[edit.kind] if isinstance(edit, ReplaceBlock) else ""


def removals(wiring: Wiring, names: Iterable[str] | None = None) -> tuple[dict[str, Plan], dict[str, str]]:
    """For each block a proven plan that takes it out: deleted where that can be, else with an identity in its place.

    Args:
        wiring: of the model.
        names: of the blocks; None: all with a shortcut around them.

    Returns:
        block -> plan, and block -> why there is none.
    """
    plans: dict[str, Plan] = {}
    left: dict[str, str] = {}
    chosen = [b for b in wiring.blocks if (b.residual if names is None else b.name in set(names))]
    for block in chosen:
        for delete in (True, False):
            if delete and not is_item(wiring.model, block.name):
                continue
            try:
                plans[block.name] = plan_blocks(wiring, [RemoveBlock(block.name, delete)])
                break
            except PlanError as error:
                left.setdefault(block.name, str(error))
    return plans, {name: why for name, why in left.items() if name not in plans}


def branch_removals(wiring: Wiring) -> tuple[dict[str, Plan], dict[str, str]]:
    """As ``removals``, for branches."""
    plans: dict[str, Plan] = {}
    left: dict[str, str] = {}
    for branch in wiring.branches:
        try:
            plans[branch.name] = plan_blocks(wiring, [RemoveBranch(branch.name, branch.modules, branch.returns)])
        except PlanError as error:
            left[branch.name] = str(error)
    return plans, left


def _plan(wiring: Wiring, edits: Sequence[BlockEdit], numbers: LayerNumbers) -> Plan:
    with_lists = tuple(
        replace(e, lists=numbers.lists.get(e.block, ())) if isinstance(e, RemoveBlock) else e for e in edits
    )
    return Plan(with_lists, {}, {}, dict(numbers.changes), wiring.fingerprint)


def _part(wiring: Wiring, edit: BlockEdit) -> Block:
    """What an edit takes out."""
    name = edit.block
    kind, plural = ("branch", "branches") if isinstance(edit, RemoveBranch) else ("block", "blocks")
    able: tuple[Block, ...] = wiring.branches if kind == "branch" else wiring.blocks
    if isinstance(edit, ReplaceBlock):
        able = (*able, *wiring.transitions)
    parts = {part.name: part for part in able}
    if name not in parts:
        some = ", ".join(repr(b) for b in list(parts)[:6])
        raise UnknownNameError(f"{name!r} is no {kind} of this model; {plural} are {some or 'none'}")
    part = parts[name]
    if isinstance(edit, MergeBlocks):
        _check_receiver(wiring, edit.into)
    if isinstance(edit, RemoveBranch) and isinstance(part, Branch):
        if (edit.modules, edit.returns) != (part.modules, part.returns):
            raise PlanError(f"the branch {name!r} is {part.modules}, which return {part.returns}")
    for path in edit.modules:
        other = shared_with(wiring.model, path)
        if other is not None:
            raise PlanError(f"{path!r} is shared with {other!r}")
    if part.kept is not None:
        raise PlanError(f"{name!r} must stay: {part.kept}")
    return part


def _check_receiver(wiring: Wiring, name: str) -> None:
    """Raise unless other blocks may be merged into this one."""
    names = [block.name for block in wiring.blocks]
    if name not in names:
        some = ", ".join(repr(b) for b in names[:6])
        raise UnknownNameError(f"{name!r} is no block of this model; blocks are {some or 'none'}")
    other = shared_with(wiring.model, name)
    if other is not None:
        raise PlanError(f"{name!r} is shared with {other!r}")
