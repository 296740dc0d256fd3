"""Widens axes without changing what the model computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import torch

from ..errors import InputError, UnknownNameError
from ..wiring import Axis, Wiring
from ..wiring.collector import no_collections
from ..wiring.trace import as_run
from .copies import widened
from .equality import first_difference
from .plan import Plan
from .sizing import Sizing, changeable_axes
from .widths import plan_of, proven_sizing

_MOST_TRIALS = 40  # each gives up at least one axis, most give up several

Widths = Mapping[str, float]


@no_collections()
def plan_widening(wiring: Wiring, widths: Widths, seed: int = 0, influence: Mapping[str, float] | None = None) -> Plan:
    """The plan that widens axes to sizes near those wanted, tried on a twin with float64 weights.

    Axes over which a normalization or mean is taken get a multiple of their size (the next one above): only if every
    unit has as many copies does the statistic stay as it was (LEMON's average-width expansion).

    Args:
        wiring: of the model.
        widths: pattern over axis names, tensors and modules that make an axis -> a float ≥ 1, the factor, or an int,
            the units. The first pattern that matches counts. Of a dimension that is a product (heads × head width)
            patterns widen the outermost factor; the full name of an axis widens that axis.
        seed: of the units that are copied and of the shares.
        influence: of axes, ≥ 0; an axis that is not in it has none. An axis gets the share of a factor that its
            influence is of the largest among those widened; numbers of units are taken as they are.

    Returns:
        A plan; ``left`` says which of the axes keep their size and why.

    Raises:
        InputError: a factor below 1, or a size below the present one.
        UnknownNameError: a pattern that matches no axis.

    Source: Chen et al., ICLR 2016, arXiv:1511.05641 (Net2Net); Wang et al., ICLR 2024, arXiv:2310.07999 (LEMON).
    """
    targets, left = _targets(wiring, widths, influence)
    run = as_run(wiring, wiring.example_inputs)
    run = replace(wiring, calls=run.calls) if run.layouts == wiring.layouts else wiring
    for _ in range(_MOST_TRIALS):
        sizing, failed = proven_sizing(wiring, targets)
        left |= failed
        for name, size in targets.items():
            if size > sizing.sizes[name] == wiring.sizes[name]:
                left.setdefault(name, "forward demands sizes that contradict it")
        plan = _plan(wiring, sizing, seed, left)
        if not plan.edits:
            break
        found = first_difference(run, sizing, plan)
        if found is None:
            return plan
        left |= dict.fromkeys(found.axes, found.why)
        targets = {name: size for name, size in targets.items() if name not in left}
    return Plan((), {}, {}, {}, wiring.fingerprint, left=left)


def _plan(wiring: Wiring, sizing: Sizing, seed: int, left: Mapping[str, str]) -> Plan:
    generator = torch.Generator().manual_seed(seed)
    edits = tuple(
        widened(wiring, axis, sizing.sizes[axis.name], generator)
        for axis in wiring.axes
        if sizing.sizes[axis.name] > axis.size
    )
    wider = {edit.axis for edit in edits}
    return plan_of(wiring, sizing, edits, {name: why for name, why in left.items() if name not in wider})


def _targets(
    wiring: Wiring, widths: Widths, influence: Mapping[str, float] | None
) -> tuple[dict[str, int], dict[str, str]]:
    if not isinstance(widths, Mapping) or not widths:
        raise InputError("widen: give a mapping from names or patterns to factors or sizes, e.g. {'*': 1.5}")
    offered = set(changeable_axes(wiring, cut="whole"))
    used: set[str] = set()
    asked: list[tuple[Axis, str]] = []
    left: dict[str, str] = {}
    for axis in wiring.axes:
        if axis.size < 2 or not any(m.trainable for m in axis.members):
            continue
        pattern = next((p for p in widths if _matches(axis, p)), None)
        if pattern is None:
            continue
        used.add(pattern)
        if axis.frozen:
            left[axis.name] = axis.frozen
        elif axis.name in offered or axis.name == pattern:
            asked.append((axis, pattern))
    for pattern in widths:
        if pattern not in used:
            free = ", ".join(repr(axis.name) for axis in wiring.free_axes[:6])
            raise UnknownNameError(f"widen: {pattern!r} matches no axis; axes are {free or 'none'}")
    shares = {axis.name: 1.0 for axis, _ in asked} if influence is None else _shares(influence, [a for a, _ in asked])
    targets = {axis.name: _size(axis, pattern, widths[pattern], shares[axis.name]) for axis, pattern in asked}
    return targets, {name: why for name, why in left.items() if name in widths}


def _shares(influence: Mapping[str, float], axes: Sequence[Axis]) -> dict[str, float]:
    """Influence of each axis, as a share of the largest; all 1 where none has any."""
    most = max((influence.get(axis.name, 0.0) for axis in axes), default=0.0)
    return {axis.name: influence.get(axis.name, 0.0) / most if most > 0 else 1.0 for axis in axes}


def _matches(axis: Axis, pattern: str) -> bool:
    made_by = [m.tensor for m in axis.members if m.role == "producer"]
    modules = [tensor.rpartition(".")[0] for tensor in made_by]
    return any(fnmatchcase(name, pattern) for name in (axis.name, *made_by, *modules)) or axis.name == pattern


def _size(axis: Axis, pattern: str, wanted: float, share: float) -> int:
    if isinstance(wanted, bool) or not isinstance(wanted, (int, float)):
        raise InputError(f"widen: {pattern!r} is to be {wanted!r}; give a factor (1.5) or a number of units (96)")
    if isinstance(wanted, float):
        if not 1 <= wanted <= 64:
            raise InputError(f"widen: the factor {wanted} of {pattern!r} is not in 1..64")
        size = round((1 + (wanted - 1) * share) * axis.size)
    else:
        size = wanted
        if size < axis.size:
            raise InputError(
                f"widen: {axis.name!r} has {axis.size} units, not fewer than {size} as {pattern!r} wants; "
                f"write {float(size)} for a factor"
            )
    step = axis.size if axis.statistics else axis.multiple_of
    if share < 1:  # no more than it is worth
        return max(round(size / step) * step, axis.size)
    return -(-size // step) * step
