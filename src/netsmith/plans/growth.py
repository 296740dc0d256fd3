"""Grows a model without changing what it computes: wider axes, more blocks, or both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from ..errors import InputError, PlanError, UnknownNameError
from ..wiring import Wiring, trace
from ..wiring.depth import shell
from .deepening import plan_insertion, repeatable
from .edits import InsertIdentity
from .identities import places, plan_identities
from .inserting import insert_blocks
from .plan import Plan
from .widening import Widths, plan_widening

_MOST_COPIES = 64  # of one block: each round is planned and traced anew

Where = Sequence[str] | Mapping[str, float] | Literal["even"]


def plan_growth(
    wiring: Wiring, *, widen: Widths | None = None, deepen: int | None = None, where: Where = "even", seed: int = 0
) -> Plan:
    """Plan to widen axes and to insert blocks, so that the outputs stay as they are.

    A widened axis has copies of its units, and what reads them is divided among the copies in uneven shares, so that
    training can tell them apart. An inserted block is a copy of the one before it whose last parameters are zero. In a
    network without such blocks it is a layer of its own behind an item that ends in a rectifier: an identity kernel, a
    batch normalization where the layer before has one, and the rectifier. That leaves the outputs as they are in eval
    mode; in train mode the normalization takes the statistics of the batch.

    Args:
        wiring: of the model, from ``trace``.
        widen: name or pattern of axes, or of the tensors or modules that make them -> a float ≥ 1, the factor, or an
            int, the number of units; the first pattern that matches counts. ``{"*": 1.5}`` widens everything.
        deepen: how many blocks to insert.
        where: behind which blocks, or items that end in a rectifier: "even", spread over the depth; a list of names,
            each as often as it is named; or their influence (of blocks ``netsmith.evidence.influence``), the largest
            first; evenly where none of those to choose from is in it. Other than by name, items get one only where no
            block does. With the influence of axes too (``netsmith.searches.axis_influence``), a factor of ``widen`` is
            that of the axis of most influence; the others get a share of it: 1 + (factor - 1) · influence / largest.
        seed: of the units that are copied and of their shares.

    Returns:
        A plan that a twin of the model was tried with. Axes and blocks that could not follow are in ``left``.

    Raises:
        InputError: neither widen nor deepen, or values out of range.
        UnknownNameError: a pattern that matches no axis, or a name that is no block and no such item.
        PlanError: nothing behind which an identity can be put.

    Example:
        >>> plan = plan_growth(wiring, widen={"*": 1.5}, deepen=2)  # doctest: +SKIP
    """
    if not isinstance(wiring, Wiring):
        raise InputError(f"wiring is a {type(wiring).__name__}; give what trace(model, example_inputs) returns")
    if widen is None and deepen is None:
        raise InputError("give widen (e.g. widen={'*': 1.5}), deepen (e.g. deepen=2), or both")
    if deepen is not None and (not isinstance(deepen, int) or isinstance(deepen, bool) or deepen < 1):
        raise InputError(f"deepen={deepen!r} must be an int ≥ 1: how many blocks to insert")
    influence = {name: v for name, v in where.items() if name in wiring.axis} if isinstance(where, Mapping) else {}
    if deepen is None:
        _check_names(wiring, where, places(wiring))
        return plan_widening(wiring, widen or {}, seed, influence or None)
    deeper = plan_deepening(wiring, deepen, where)
    if widen is None:
        return deeper
    twin = shell(wiring.model)
    for step in deeper.steps:
        insert_blocks(twin, step)
        influence = {step.renamed(name) or name: value for name, value in influence.items()}
    return plan_widening(trace(twin, wiring.example_inputs), widen, seed, influence or None).after(deeper)


def plan_deepening(wiring: Wiring, count: int, where: Where = "even") -> Plan:
    """The plan that inserts blocks; several behind one block where there are fewer places than blocks to insert.

    Args:
        wiring: of the model.
        count: how many, ≥ 1.
        where: as in ``plan_growth``.

    Raises:
        InputError: too many; ``where`` of another kind, or another number of names than blocks to insert.
        UnknownNameError: a name that is no block and no item that ends in a rectifier.
        PlanError: nothing behind which an identity can be put, or not behind a named one.
    """
    identities = places(wiring)
    _check_names(wiring, where, identities)
    if not isinstance(where, str) and not isinstance(where, Mapping):
        if len(where) != count:
            raise InputError(f"deepen={count}, but where names {len(where)} blocks; name one for each")
        return _inserted(wiring, list(where))
    items = [name for name in identities if not any(other.startswith(f"{name}.") for other in identities)]
    why: dict[str, str] = {}
    for offered, left in (repeatable(wiring), (items, {})):
        plan = _spread(wiring, offered, count, where, left)
        if plan is not None:
            return plan
        why |= left
    some = "; ".join(why.values()) or (
        "no block of it is an item of an nn.Sequential or nn.ModuleList, and no item ends in a rectifier (ReLU, ReLU6, "
        "hardtanh) behind a convolution or a linear layer"
    )
    raise PlanError(f"no block can be inserted: {some[:600]}")


def _spread(wiring: Wiring, offered: Sequence[str], count: int, where: Where, left: dict[str, str]) -> Plan | None:
    """The plan that puts blocks behind the best of those offered; what fails alone is noted in ``left``."""
    if offered and count > _MOST_COPIES * len(offered):
        raise InputError(
            f"deepen={count}: there are {len(offered)} places, each for at most {_MOST_COPIES} blocks; "
            f"give at most {_MOST_COPIES * len(offered)}"
        )
    while offered:
        chosen = _chosen(offered, count, where)
        try:
            plan = _inserted(wiring, chosen)
        except PlanError:
            failed = _failing(wiring, chosen)
            if not failed:  # each works alone
                raise
            left.update(failed)
            offered = [name for name in offered if name not in failed]
            continue
        return replace(plan, left={name: why for name, why in left.items() if name not in chosen})
    return None


def _chosen(offered: Sequence[str], count: int, where: Where) -> list[str]:
    rounds, rest = divmod(count, len(offered))
    if isinstance(where, Mapping) and any(name in where for name in offered):
        first = sorted(offered, key=lambda name: -where.get(name, 0.0))[:rest]
    else:
        first = [offered[(2 * i + 1) * len(offered) // (2 * rest)] for i in range(rest)]
    return [name for name in offered for _ in range(rounds + (name in first))]


def _inserted(wiring: Wiring, names: Sequence[str]) -> Plan:
    """One plan a round: each block once, or each other item once."""
    todo, plan, now = list(names), None, wiring
    twin = wiring.model
    while todo:
        identities = places(now)
        copied = _is_copied(now, todo[0], identities)
        this = [name for name in dict.fromkeys(todo) if _is_copied(now, name, identities) == copied]
        for name in this:
            todo.remove(name)
        step = (plan_insertion if copied else plan_identities)(now, this)
        plan = step if plan is None else step.after(plan)
        if todo:
            # the key of what comes behind a named item tells whose copy it is, and is taken now: the next is a copy's
            todo = [
                step.place_behind(name) if name in this and not name.split(".")[-1].isdecimal() else new
                for name in todo
                for new in [step.renamed(name) or name]
            ]
            twin = shell(twin)
            insert_blocks(twin, step)
            now = trace(twin, wiring.example_inputs)
    assert plan is not None
    return plan


def _is_copied(wiring: Wiring, name: str, identities: Mapping[str, InsertIdentity]) -> bool:
    """Whether a silent copy comes behind this; a new identity layer if not."""
    return name not in identities or any(block.name == name and block.residual for block in wiring.blocks)


def _failing(wiring: Wiring, names: Sequence[str]) -> dict[str, str]:
    failed = {}
    for name in dict.fromkeys(names):
        try:
            _inserted(wiring, [name])
        except PlanError as error:
            failed[name] = str(error)
    return failed


def _check_names(wiring: Wiring, where: Where, identities: Mapping[str, InsertIdentity]) -> None:
    if isinstance(where, str):
        if where != "even":
            raise InputError(f'where={where!r}; give "even", names of blocks, or their influence by name')
        return
    if not isinstance(where, (Mapping, Sequence)):
        raise InputError(f'where is a {type(where).__name__}; give "even", names of blocks, or their influence by name')
    known = [*(block.name for block in wiring.blocks), *identities]
    for name in where:
        if name not in known and not (isinstance(where, Mapping) and name in wiring.axis):
            some = ", ".join(repr(b) for b in known[:6])
            raise UnknownNameError(f"where: {name!r} is no block of this model; blocks are {some or 'none'}")
