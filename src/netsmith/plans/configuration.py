"""Keeps a configuration object in step with the widths, so that the model can be constructed from it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ..wiring import Wiring, tensor_slots
from ..wiring.construction import constructed, numbers
from ..wiring.layouts import layout_size
from ..wiring.provenance import Attribute, Expression, attributes_in, evaluate
from ..wiring.slots import int_values
from .sizing import Sizing

_MOST_TRIALS = 4096
Changes = dict[str, tuple[float, float]]


def settle_configuration(wiring: Wiring, sizing: Sizing) -> Changes:
    """New values of attributes that only the constructor reads: key -> (before, after).

    They are accepted only if a model constructed with them has every shape and every number that the plan promises.
    Where no configuration can say it (widths that are no longer uniform) nothing changes, and the model can only be
    loaded through its plan. Scales that the constructor computes from sizes (``head_dim ** -0.5``) follow, as they
    would in a model made anew.
    """
    if wiring.construction is None or not wiring.construction.sizes:
        return {}
    before = int_values(wiring.model)
    for derived in (True, False):
        values = _configured(wiring, sizing, before, derived)
        made = constructed(wiring.model, values)
        if made is not None and _as_promised(wiring, sizing, made):
            settled = [key for key, value in values.items() if value != before[key] and key not in sizing.attributes]
            return {**_adopted(wiring, sizing, made), **{key: (before[key], values[key]) for key in settled}}
    return {}


def _configured(wiring: Wiring, sizing: Sizing, before: Mapping[str, int], derived: bool) -> dict[str, int]:
    """Attribute values with which layers get their new sizes; ``derived``: also those found by trying values."""
    assert wiring.construction is not None
    known = [c for c in wiring.construction.sizes if attributes_in(c.value) <= before.keys()]
    demands = [(c.value, sizing.attributes[c.name]) for c in known if c.dim < 0 and c.name in sizing.attributes]
    demands += [
        (c.value, layout_size(wiring.layouts[c.name][c.dim], sizing.sizes))
        for c in known
        if c.dim >= 0 and c.name in wiring.layouts
    ]
    values = {**before, **sizing.attributes}
    settled = set(sizing.attributes)
    for expression, size in sorted(demands, key=lambda d: len(attributes_in(d[0]))):
        direct = isinstance(expression, Attribute)
        if _value(expression, values) != size and (derived or direct):
            growing = size > (_value(expression, before) or 0)
            _derive(expression, size, sorted(attributes_in(expression) - settled), values, growing)
            settled |= attributes_in(expression)
        elif direct:
            settled |= attributes_in(expression)
    return values


def _derive(expression: Expression, size: int, unset: list[str], values: dict[str, int], growing: bool) -> None:
    """Give one unset attribute the value with which the expression has the size."""
    for key in unset:
        before = values[key]
        direct = expression == Attribute(key)
        for value in [size] if direct else range(1, min(8 * before if growing else before, _MOST_TRIALS)):
            values[key] = value
            if _value(expression, values) == size:
                return
        values[key] = before


def _value(expression: Expression, values: Mapping[str, int]) -> Any:
    try:
        return evaluate(expression, int, values)
    except ZeroDivisionError:
        return None


def _as_promised(wiring: Wiring, sizing: Sizing, made: nn.Module) -> bool:
    """Whether a newly constructed model has the plan's shapes, and the plan's numbers where forward reads them.

    A buffer that only the constructor computes must keep its size: of another size it would have other values than the
    kept units of the original's.
    """
    shapes = {slot.name: tuple(slot.tensor.shape) for slot in tensor_slots(made)}
    promised = {
        name: tuple(layout_size(layout, sizing.sizes) for layout in layouts) for name, layouts in wiring.layouts.items()
    }
    if any(promised[name] != tuple(wiring.tensors[name].shape) for name in wiring.recomputed & promised.keys()):
        return False
    made_ints = int_values(made)
    stored = promised.keys() - wiring.recomputed
    return all(shapes.get(name) == promised[name] for name in stored) and all(
        made_ints.get(key, value) == value for key, value in sizing.attributes.items()
    )


def _adopted(wiring: Wiring, sizing: Sizing, made: nn.Module) -> Changes:
    """Numbers that the constructor makes differently now, where the model still has the constructor's value."""
    assert wiring.construction is not None
    own, old, new = numbers(wiring.model), wiring.construction.numbers, numbers(made)
    return {
        key: (value, new[key])
        for key, value in sorted(own.items())
        if key not in sizing.attributes and old.get(key) == value and new.get(key, value) != value
    }
