"""The places of a model that hold tensors and integers, each with a name.

Surgery replaces what is in a slot; capture reads it. Nothing here knows a layer class: a slot is an entry of some
module's dictionaries, or of a configuration object that a module holds.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

_MAX_DEPTH = 3  # of objects below a module: module.config.text_config.hidden_size
# the types of most attributes, asked first
_NO_INTS = frozenset((bool, float, str, type(None), dict, OrderedDict, set))
_NO_TENSORS = _NO_INTS | {int, tuple}
_MAX_ITEMS = 64  # a longer list of integers is data, not a shape


@dataclass(frozen=True)
class Slot:
    """One place that holds a tensor: ``holder[key] is tensor``. Shared tensors come once per place.

    Attributes:
        name: state-dict style, "layer1.0.conv1.weight"; for a list attribute "module.attribute.0".
        holder: the dictionary or list; assigning ``holder[key]`` replaces the tensor.
        key: where in the holder.
        tensor: what is there now.
    """

    name: str
    holder: Any
    key: Any
    tensor: torch.Tensor


@dataclass(frozen=True)
class IntSlot:
    """One place that holds an int > 1, or a nested tuple or list of ints. ``key`` is "module.path:attribute"."""

    key: str
    holder: dict[str, Any]
    name: str
    value: Any


def tensor_slots(model: nn.Module) -> Iterator[Slot]:
    """Every parameter, buffer (persistent or not) and plain tensor attribute, in module order."""
    for path, module in modules_of(model):
        prefix = f"{path}." if path else ""
        own = {key: value for key, value in module.__dict__.items() if type(value) not in _NO_TENSORS}
        for holder, entries in ((module._parameters, None), (module._buffers, None), (module.__dict__, own)):
            for key, value in list((holder if entries is None else entries).items()):
                if isinstance(value, torch.Tensor):
                    yield Slot(prefix + key, holder, key, value)
        for key, value in own.items():
            if isinstance(value, list) and key != "_flat_weights":  # RNNs list their own parameters a second time
                for i, item in enumerate(value):
                    if isinstance(item, torch.Tensor):
                        yield Slot(f"{prefix}{key}.{i}", value, i, item)


def modules_of(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """``model.named_modules()``, without a generator inside a generator for every level."""
    seen: set[int] = set()
    left: list[tuple[str, nn.Module]] = [("", model)]
    while left:
        path, module = left.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        yield path, module
        prefix = f"{path}." if path else ""
        children = [(prefix + name, child) for name, child in module._modules.items() if child is not None]
        left += reversed(children)


def int_slots(model: nn.Module) -> Iterator[IntSlot]:
    """Every int > 1, and every short nested tuple or list of ints, held by modules and their configuration objects."""
    seen: set[int] = set()
    for path, module in modules_of(model):
        yield from _ints_of(f"{path}:", module, seen, 0)


def _ints_of(prefix: str, holder: object, seen: set[int], depth: int) -> Iterator[IntSlot]:
    entries = getattr(holder, "__dict__", None)
    if id(holder) in seen or depth > _MAX_DEPTH or not isinstance(entries, dict):
        return
    seen.add(id(holder))
    for name, value in list(entries.items()):
        if type(value) in _NO_INTS or name.startswith("__"):
            continue
        if _is_int(value) or (isinstance(value, (tuple, list)) and _is_int_sequence(value)):
            yield IntSlot(prefix + name, entries, name, value)
        elif _is_configuration(value):
            yield from _ints_of(f"{prefix}{name}.", value, seen, depth + 1)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 1


def _is_int_sequence(value: Any) -> bool:
    if type(value) not in (tuple, list, torch.Size) or not 0 < len(value) <= _MAX_ITEMS:
        return False
    return all((isinstance(i, int) and not isinstance(i, bool)) or _is_int_sequence(i) for i in value)


def _is_configuration(value: object) -> bool:
    """A plain object of the user's (or a library's) own that carries settings, and is neither code nor a module."""
    if isinstance(value, (nn.Module, type, torch.Tensor)) or not hasattr(value, "__dict__"):
        return False
    if type(value).__name__.endswith("Config") or hasattr(value, "to_diff_dict"):
        return True
    foreign = type(value).__module__.split(".")[0] not in ("torch", "builtins", "collections", "functools", "weakref")
    return foreign and not callable(value)


def map_ints(value: Any, key: str, change: Any) -> Any:
    """The same nested structure with every int > 1 replaced by ``change(key, int)``."""
    if isinstance(value, (tuple, list)):
        items = [map_ints(item, f"{key}[{i}]", change) for i, item in enumerate(value)]
        return items if type(value) is list else type(value)(items)
    return change(key, value) if _is_int(value) else value


def int_values(model: nn.Module) -> dict[str, int]:
    """Every int > 1 by its key."""
    values: dict[str, int] = {}
    for slot in int_slots(model):
        map_ints(slot.value, slot.key, lambda key, value: values.setdefault(key, int(value)))
    return values


def recomputed_buffers(model: nn.Module) -> frozenset[str]:
    """Buffers that no state dict holds: the constructor computes them (rotary frequencies, index tables)."""
    return frozenset(
        f"{path}.{name}" if path else name
        for path, module in model.named_modules()
        for name in module._non_persistent_buffers_set
    )


def clear_tensor_caches(model: nn.Module) -> None:
    """Empty public dict attributes that hold nothing but tensors: caches that a changed width would make wrong."""
    for module in model.modules():
        for name, value in module.__dict__.items():
            if type(value) is dict and not name.startswith("_") and value:
                if all(isinstance(item, torch.Tensor) for item in value.values()):
                    value.clear()


def fingerprint(model: nn.Module) -> str:
    """Identifies a structure: names and shapes of what its state dict holds (not values or dtypes).

    Other tensors do not count: a forward may put others there.
    """
    entries = [
        [f"{path}.{name}" if path else name, list(tensor.shape)]
        for path, module in modules_of(model)
        for name, tensor in (*module._parameters.items(), *module._buffers.items())
        if tensor is not None and name not in module._non_persistent_buffers_set
    ]
    return hashlib.sha256(json.dumps(sorted(entries), separators=(",", ":")).encode()).hexdigest()
