"""Integers that describe a layer beside its weights.

What forward reads is in the plan. Some attributes forward never reads (``in_features`` of a linear layer): they only
appear in ``repr`` or in users' code. They are found by name and size: an attribute follows its parameter's dimension
when it carries one of these names and equalled that dimension before.
"""

from __future__ import annotations

from torch import nn

from ..errors import PlanError
from ..plans import Plan
from ..wiring.depth import number_at
from ..wiring.describing import DESCRIBES
from ..wiring.slots import int_slots, map_ints


def write_attributes(model: nn.Module, plan: Plan) -> None:
    """Give the plan's attributes their new values, then those that only describe.

    Raises:
        PlanError: the model has no such attribute.
    """
    unknown = [key for key, (_, after) in plan.attributes.items() if not _has(model, key, after)]
    if unknown:
        raise PlanError(f"{type(model).__name__} has no attribute {unknown[0]!r}, which the plan changes")

    def changed(key: str, value: int) -> int:
        return int(plan.attributes[key][1]) if key in plan.attributes else value

    for slot in int_slots(model):
        slot.holder[slot.name] = map_ints(slot.value, slot.key, changed)
    for key, (_, after) in plan.attributes.items():
        if isinstance(after, float):  # a scale that the constructor computed from a width
            path, _, name = key.partition(":")
            own = model.get_submodule(path).__dict__
            if isinstance(own.get(name), float):
                own[name] = after


def _has(model: nn.Module, key: str, value: float) -> bool:
    """Whether it has a number of this kind there."""
    if number_at(model, key) is not None:
        return True
    path, _, name = key.partition(":")
    try:
        return isinstance(value, float) and isinstance(model.get_submodule(path).__dict__.get(name), float)
    except AttributeError:
        return False


def describe_again(original: nn.Module, edited: nn.Module) -> None:
    """Bring attributes that only describe a layer in line with its new parameters."""
    for before, after in zip(original.modules(), edited.modules(), strict=True):
        for attribute, places in DESCRIBES.items():
            old, now = before.__dict__.get(attribute), after.__dict__.get(attribute)
            if now is None or type(now) is bool:
                continue
            for name, dim in places:
                if before.__dict__.get("transposed") is True:
                    dim = 1 - dim  # the weight of a transposed convolution is (in, out / groups, *kernel)
                size = _size_of(before, name, dim)
                factor = _groups(before, name, dim)
                if size is not None and old in (size * factor, (size,), [size]):
                    new = _size_of(after, name, dim)
                    assert new is not None
                    new *= _groups(after, name, dim)
                    after.__dict__[attribute] = type(now)([new]) if isinstance(now, (tuple, list)) else new
                    break
        if "_flat_weights_names" in after.__dict__:  # recurrent layers list their own parameters a second time
            after.__dict__["_flat_weights"] = [getattr(after, n) for n in after.__dict__["_flat_weights_names"]]


def _size_of(module: nn.Module, name: str, dim: int) -> int | None:
    tensor = {**module._buffers, **module._parameters}.get(name)
    return int(tensor.shape[dim]) if tensor is not None and tensor.dim() > dim else None


def _groups(module: nn.Module, name: str, dim: int) -> int:
    """A convolution's weight holds the channels of one group in dimension 1."""
    return int(module.__dict__.get("groups", 1)) if dim == 1 and name == "weight" else 1
