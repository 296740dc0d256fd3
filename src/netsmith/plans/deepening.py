"""Inserts blocks that are exact identities at first: copies of their neighbours whose own part is zero."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from ..errors import CaptureError, ModelError, PlanError, UnknownNameError
from ..wiring import Block, Wiring, trace
from ..wiring.collector import no_collections
from ..wiring.depth import is_item, parent_of, renamed, shared_with, shell
from ..wiring.without import Gone, difference
from .edits import InsertBlock
from .equality import outputs_differ
from .inserting import insert_blocks
from .layer_numbers import LayerNumbers, layer_numbers
from .plan import Plan
from .silencing import NotSilent, silencing
from .stand_in_values import put_values, uneven_values


@no_collections()
def plan_insertion(wiring: Wiring, after: Sequence[str]) -> Plan:
    """The plan that puts a silenced copy behind each of these blocks, proved on a twin of the model.

    What refers to the layers behind follows: the indices that they carry, the number of layers in a configuration
    object and its lists with one entry a layer.

    Args:
        wiring: of the model.
        after: blocks that are items of an ``nn.Sequential`` or ``nn.ModuleList``; none inside another.

    Raises:
        UnknownNameError: a block that the wiring does not have.
        PlanError: no copy of a block can be made to return its input, or a twin with the copies did not do what the
            model does; the message says where.
    """
    blocks = {block.name: block for block in wiring.blocks}
    edits = [_silenced(wiring, blocks, name) for name in sorted(after, key=lambda n: _call_of(blocks, n))]
    why = "nothing to insert"
    for numbers in layer_numbers(wiring, [edit.block for edit in edits], repeated=True):
        plan = _plan(wiring, edits, numbers)
        found = changed(wiring, plan, _block_at)
        if found is None:
            return plan
        why = found
    raise PlanError(f"with copies of {', '.join(e.block for e in edits)} the model would be another: {why}")


def repeatable(wiring: Wiring) -> tuple[list[str], dict[str, str]]:
    """Blocks behind which an identity may be put, in call order; where blocks lie in one another the innermost.

    Returns:
        Their names (whether a model with them runs only ``plan_insertion`` proves), and block -> why not, for the
        other blocks that are items of a container.
    """
    blocks = {block.name: block for block in wiring.blocks}
    found: list[str] = []
    left: dict[str, str] = {}
    for name in blocks:
        if is_item(wiring.model, name):
            try:
                _silenced(wiring, blocks, name)
                found.append(name)
            except PlanError as error:
                left[name] = str(error)
    return [name for name in found if not any(other.startswith(f"{name}.") for other in found)], left


def _call_of(blocks: dict[str, Block], name: str) -> int:
    return blocks[name].first_call if name in blocks else -1


def _silenced(wiring: Wiring, blocks: dict[str, Block], name: str) -> InsertBlock:
    if name not in blocks:
        some = ", ".join(repr(b) for b in list(blocks)[:6])
        raise UnknownNameError(f"{name!r} is no block of this model; blocks are {some or 'none'}")
    if not is_item(wiring.model, name):
        raise PlanError(f"{name!r} is no item of an nn.Sequential or nn.ModuleList, which could get another one")
    other = shared_with(wiring.model, name)
    if other is not None:
        raise PlanError(f"{name!r} is shared with {other!r}")
    try:
        return InsertBlock(name, silencing(wiring, blocks[name]))
    except NotSilent as error:
        raise PlanError(f"no copy of {name!r} can return its input: {error}") from error


def _plan(wiring: Wiring, edits: Sequence[InsertBlock], numbers: LayerNumbers) -> Plan:
    whole = tuple(
        replace(e, lists=numbers.lists.get(e.block, ()), numbers=numbers.copies.get(e.block, ())) for e in edits
    )
    return Plan(whole, {}, {}, dict(numbers.changes), wiring.fingerprint)


def _block_at(wider: Wiring, place: str) -> Block | None:
    return next((block for block in wider.blocks if block.name == place), None)


def changed(wiring: Wiring, plan: Plan, part_at: Callable[[Wiring, str], Block | None]) -> str | None:
    """None where a twin with what is inserted is the model once it is taken out again, and gives the same outputs.

    Args:
        wiring: of the model.
        plan: of insertions.
        part_at: (wiring of the twin, place of something inserted) -> its calls; None where it runs not as it should.
    """
    twin = shell(wiring.model)
    try:
        insert_blocks(twin, plan)
        inserted = [place_behind(plan, edit.block) for edit in plan.insertions]
        wider = trace(twin, wiring.example_inputs)
    except (CaptureError, ModelError) as error:
        return " ".join(str(error).split("\n")[1:2] or [str(error)]).strip()
    gone = []
    for name in inserted:
        part = part_at(wider, name)
        if part is None:
            return f"{name} is not called once, as a part that returns something like its input"
        gone.append(Gone(part))
    why = difference(wider, wiring.model, gone, lambda name: renamed(name, inserted))
    if why:
        return why
    uneven = put_values(shell(wiring.model), uneven_values(wiring.model, torch.float64))
    deeper = shell(uneven)
    insert_blocks(deeper, plan)
    return outputs_differ(uneven, deeper, wiring.example_inputs)


def place_behind(plan: Plan, block: str) -> str:
    """Where the copy of a block stands after the plan."""
    parent, name = parent_of(plan.renamed(block) or block)
    if name.isdecimal():
        return f"{parent}.{int(name) + 1}".lstrip(".")
    return f"{parent}.{name}_copy".lstrip(".")
