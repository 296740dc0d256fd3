"""``plan_dead``: units that do nothing at all, whose removal changes no output."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import torch

from ..data.running import eval_mode
from ..wiring import Axis, Wiring, call_model, tensor_slots
from ..wiring.recorder import tensors_in
from ..wiring.wiring import Member
from .plan import Plan
from .protection import protected_axes
from .sizing import changeable_axes
from .widths import plan_for, proven_sizing


def plan_dead(wiring: Wiring, *, ignore: Iterable[str] = (), seed: int = 0) -> Plan:
    """Plan to remove the units that are dead *exactly*: no output depends on them, to the last bit.

    A unit is dead if all weights that read it are zero, or if all weights, biases, scales and shifts that make it are
    zero and nothing but zero comes of that. Both are tested: a copy of the model is run with random numbers in the
    weights that cannot matter, and its outputs must be the same bits. Units over which a statistic is taken stay.

    Args:
        wiring: of the model, usually one with zeros of ``plan_sparsity`` in it.
        ignore: as in ``plan_removal``.
        seed: of the random numbers.

    Returns:
        A plan, perhaps of no edits. Removing units may make others dead: plan again on the result.
    """
    names = changeable_axes(wiring, protected_axes(wiring, ignore))
    found = {name: _dead(wiring, wiring.axis[name]) for name in names if not wiring.axis[name].statistics}
    found = {name: units for name, units in found.items() if units[0] | units[1]}
    left: dict[str, str] = {}
    if not _same_outputs(wiring, found, seed):
        alone = {name: _same_outputs(wiring, {name: units}, seed) for name, units in found.items()}
        left = {name: "units look dead, but an output depends on them" for name, fine in alone.items() if not fine}
        found = {name: units for name, units in found.items() if alone[name]}
    dead = {name: unread | silent for name, (unread, silent) in found.items()}
    while True:
        targets = {name: max(wiring.sizes[name] - len(units), 1) for name, units in dead.items()}
        sizing, failed = proven_sizing(wiring, targets)
        # what forward demands may narrow another axis, or this one further: never at the cost of a living unit
        narrower = {
            axis.name: "another axis that has to keep its size is tied to it"
            for axis in wiring.axes
            if sizing.sizes[axis.name] < min(axis.size, max(axis.size - len(dead.get(axis.name, ())), 1))
        }
        if not failed and not narrower:
            break
        drop = failed.keys() & dead.keys() or narrower.keys() & dead.keys() or dead.keys()
        left |= {name: (failed | narrower).get(name, "it is tied to another axis") for name in drop}
        dead = {name: units for name, units in dead.items() if name not in drop}
    chosen = {}
    for axis in wiring.axes:
        if sizing.sizes[axis.name] != axis.size:
            living = sorted(range(axis.size), key=lambda u: (u in dead[axis.name], u))
            chosen[axis.name] = tuple(sorted(living[: sizing.sizes[axis.name]]))
    return plan_for(wiring, sizing, chosen, left)


def _dead(wiring: Wiring, axis: Axis) -> tuple[set[int], set[int]]:
    """(units that nothing reads, units that are made of nothing), by their weights."""
    readers = [m for m in axis.members if m.role == "consumer"]
    makers = [m for m in axis.members if m.role != "consumer" and m.trainable]
    if not readers or not any(m.role == "producer" for m in makers):
        return set(), set()
    pinned = set(axis.pinned)
    return _all_zero(wiring, axis, readers) - pinned, _all_zero(wiring, axis, makers) - pinned


def _all_zero(wiring: Wiring, axis: Axis, members: Iterable[Member]) -> set[int]:
    units = set(range(axis.size))
    for member in members:
        rows = wiring.tensors[member.tensor].detach().movedim(member.dim, 0)
        flags = rows.ne(0).reshape(len(rows), -1).any(1).tolist()
        units -= {unit for unit, places in enumerate(member.positions) if any(flags[p] for p in places)}
    return units


def _same_outputs(wiring: Wiring, found: Mapping[str, tuple[set[int], set[int]]], seed: int) -> bool:
    """Whether outputs stay the same bits when weights around dead units get random numbers.

    Of a unit that nothing reads those that make it; of one made of nothing those that read it.
    """
    if not found:
        return True
    model = copy.deepcopy(wiring.model)
    generator = torch.Generator().manual_seed(seed)
    tensors = {slot.name: slot.tensor for slot in tensor_slots(model)}
    with torch.random.fork_rng(devices=[]), eval_mode(model), torch.no_grad():
        before = [t.clone() for t in tensors_in(call_model(model, wiring.example_inputs))]
        for name, (unread, silent) in found.items():
            for member in wiring.axis[name].members:
                units = silent if member.role == "consumer" else unread
                if member.trainable and units:
                    places = torch.tensor(sorted(p for u in units for p in member.positions[u]))
                    tensor = tensors[member.tensor]
                    rows = tensor.movedim(member.dim, 0)
                    noise = torch.randn(rows[places].shape, generator=generator).to(tensor)
                    rows[places] = noise
        after = tensors_in(call_model(model, wiring.example_inputs))
    return len(before) == len(after) and all(a.equal(b) for a, b in zip(before, after, strict=True))
