"""Which sizes a model's constructor takes from its configuration object.

Forward of a transformers model hardly reads ``config.hidden_size``; its constructor does. A model that was pruned must
still be made again from its configuration (``from_pretrained``). So the constructor is run once more on ``meta`` with a
configuration whose ints remember where they came from, and each layer's size attributes are looked at.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .describing import DESCRIBES
from .provenance import Attribute, Expression, SourcedInt
from .slots import int_slots, int_values, map_ints, modules_of


@dataclass(frozen=True)
class Configured:
    """A dimension of a tensor, or an integer attribute, that is an expression over attributes of the configuration.

    Attributes:
        name: of the tensor; or the attribute's key, "module.path:attribute".
        dim: of the tensor; -1 for an attribute.
        value: the size of the dimension, or the attribute's value.
    """

    name: str
    dim: int
    value: Expression


@dataclass(frozen=True)
class Construction:
    """What a constructor of the form ``type(model)(model.config)`` makes of the model's configuration.

    Attributes:
        sizes: those that it takes from the configuration.
        numbers: every int and float attribute of the model that it makes, by key.
    """

    sizes: tuple[Configured, ...]
    numbers: Mapping[str, float]


def construction(model: nn.Module) -> Construction | None:
    """None for models without a configuration object, and where that constructor cannot be run again."""
    config = model.__dict__.get("config")
    if config is None or not hasattr(config, "to_diff_dict"):
        return None
    twin = _construct(model, lambda key, value: SourcedInt(int(value), Attribute(key)))
    if twin is None:
        return None
    found = []
    for path, module in modules_of(twin):
        for attribute, value in module.__dict__.items():
            if isinstance(value, SourcedInt):
                found.append(Configured(f"{path}:{attribute}", -1, value.expression))
                found += [
                    Configured(f"{path}.{name}", dim, value.expression)
                    for name, dim in DESCRIBES.get(attribute, ())
                    if _has_size(module, name, dim, int(value))
                ]
    return Construction(tuple(found), numbers(twin))


def numbers(model: nn.Module) -> dict[str, float]:
    """Every int and float attribute by its key."""
    floats = {
        f"{path}:{name}": float(value)
        for path, module in modules_of(model)
        for name, value in module.__dict__.items()
        if isinstance(value, float)
    }
    return {**int_values(model), **floats}


def constructed(model: nn.Module, values: Mapping[str, int], longer: tuple[int, int] | None = None) -> nn.Module | None:
    """A model on ``meta``, made anew from the configuration with these attribute values; None if that fails.

    ``longer``: lists of the configuration with the first number of entries get the second, by repeating the last.
    """
    return _construct(model, lambda key, value: int(values.get(key, value)), longer)


def _construct(
    model: nn.Module, change: Callable[[str, int], int], longer: tuple[int, int] | None = None
) -> nn.Module | None:
    state = torch.random.get_rng_state()
    try:
        with torch.device("meta"):
            return type(model)(_lengthened(_planted(model, change), longer))
    except Exception:  # a constructor of another form, or a number of heads that does not divide the width
        return None
    finally:
        torch.random.set_rng_state(state)


def _planted(model: nn.Module, change: Callable[[str, int], int]) -> Any:
    """A copy of the configuration with every int changed; keys are those that the ints have in the model."""
    owner = copy.copy(model)  # shares everything but its own attribute dictionary
    owner.__dict__ = {**model.__dict__, "config": copy.deepcopy(model.__dict__["config"]), "_modules": {}}
    for slot in list(int_slots(owner)):
        if slot.key.startswith(":config."):
            slot.holder[slot.name] = map_ints(slot.value, slot.key, change)
    return owner.__dict__["config"]


def _lengthened(config: Any, longer: tuple[int, int] | None) -> Any:
    if longer is not None and longer[1] > longer[0]:
        for name, value in list(config.__dict__.items()):
            if type(value) in (list, tuple) and len(value) == longer[0]:
                config.__dict__[name] = type(value)([*value, *[value[-1]] * (longer[1] - longer[0])])
    return config


def _has_size(module: nn.Module, name: str, dim: int, size: int) -> bool:
    tensor = {**module._buffers, **module._parameters}.get(name)
    return tensor is not None and tensor.dim() > dim and tensor.shape[dim] == size
