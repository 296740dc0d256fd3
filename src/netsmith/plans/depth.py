"""From blocks to a plan that is known to run: the edits, the numbers that follow them, and the proof."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..errors import PlanError, UnknownNameError
from ..wiring import Block, Wiring
from ..wiring.collector import no_collections
from ..wiring.depth import is_item, shared_with, shell
from ..wiring.without import Gone, difference
from .carrying import carry_out
from .edits import BlockEdit, MergeBlocks, RemoveBlock, ReplaceBlock
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
    blocks = {block.name: block for block in wiring.blocks}
    for edit in edits:
        _check(wiring, blocks, edit.block)
        if isinstance(edit, MergeBlocks):
            _check(wiring, blocks, edit.into, stays=True)
    ordered = sorted(edits, key=lambda e: blocks[e.block].first_call)
    gone = blocks_gone(wiring, ordered)
    deleted = [e.block for e in ordered if isinstance(e, RemoveBlock) and e.delete]
    why = "nothing to change"
    for numbers in layer_numbers(wiring, deleted):
        plan = _plan(wiring, ordered, numbers)
        twin = shell(wiring.model)
        carry_out(twin, plan)
        found = difference(wiring, twin, gone, plan.renamed)
        if found is None:
            return plan
        why = found
    raise PlanError(f"without {', '.join(e.block for e in ordered)} the model would be another: {why}")


def blocks_gone(wiring: Wiring, edits: Sequence[BlockEdit]) -> list[Gone]:
    """The blocks that edits take out, with the functions that are called instead."""
    blocks = {block.name: block for block in wiring.blocks}
    return [Gone(blocks[e.block], _STAND_INS[e.kind] if isinstance(e, ReplaceBlock) else "") for e in edits]


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


def _plan(wiring: Wiring, edits: Sequence[BlockEdit], numbers: LayerNumbers) -> Plan:
    with_lists = tuple(
        replace(e, lists=numbers.lists.get(e.block, ())) if isinstance(e, RemoveBlock) else e for e in edits
    )
    return Plan(with_lists, {}, {}, dict(numbers.changes), wiring.fingerprint)


def _check(wiring: Wiring, blocks: dict[str, Block], name: str, *, stays: bool = False) -> None:
    if name not in blocks:
        some = ", ".join(repr(b) for b in list(blocks)[:6])
        raise UnknownNameError(f"{name!r} is no block of this model; blocks are {some or 'none'}")
    other = shared_with(wiring.model, name)
    if other is not None:
        raise PlanError(f"{name!r} is shared with {other!r}")
    why = blocks[name].kept
    if why is not None and not stays:
        raise PlanError(f"{name!r} must stay: {why}")
