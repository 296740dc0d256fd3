"""The numbers by which layers of a stack know their place, and what becomes of them when layers go or come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from torch import nn

from ..errors import PlanError
from ..wiring.depth import parent_of
from ..wiring.slots import modules_of
from .configuration import Changes


def stacks_above(model: nn.Module, paths: Sequence[str]) -> list[str]:
    """Every item of an ``nn.Sequential`` or ``nn.ModuleList`` in which one of these modules lies."""
    above = {".".join(path.split(".")[:n]) for path in paths for n in range(1, path.count(".") + 1)}
    return sorted(
        item for item in above if isinstance(model.get_submodule(parent_of(item)[0]), (nn.Sequential, nn.ModuleList))
    )


def indices_without(model: nn.Module, stack: str, gone: Sequence[str], silent: Sequence[str]) -> Changes:
    """Index attributes of the layers that move up when some are taken out of a stack, or fall silent in it.

    Raises:
        PlanError: a cache would no longer know which layer is which.
    """
    places, found = _numbers(model, stack)
    deleted = {i for i, place in enumerate(places) if place in gone}
    changes: Changes = {}
    for key, values in found.items():
        path, _, name = key.partition(":")
        full = [".".join(piece for piece in (place, path) if piece) for place in places]
        mute = {i for i in values if any(full[i] == s or full[i].startswith(f"{s}.") for s in silent)} - deleted
        by_place = _is_index(values)
        if mute and len(places) == 1 and values == {0: 0}:  # too few to tell an index by
            _refuse_silence(f"{stack}.*.{key}")
        if not (deleted or mute) or not (by_place or _is_index(dict(enumerate(values.values())))):
            continue
        lost = deleted | mute if by_place else (deleted | mute) & set(values)
        moved = {i: (value, value - sum(j < i for j in lost)) for i, value in values.items() if i not in lost}
        if mute:
            _check_cache(model, stack, len(places), values, moved, f"{stack}.*.{key}")
        changes |= {f"{full[i]}:{name}": change for i, change in moved.items() if change[0] != change[1]}
    return changes


def indices_behind(model: nn.Module, stack: str, copies: Mapping[str, list[tuple[str, int]]]) -> Changes:
    """Index attributes of the layers that move back when layers are repeated; those of the copies are appended.

    Args:
        model: the model.
        stack: path of the stack.
        copies: repeated item -> numbers of its copy, by their keys inside it.
    """
    places, found = _numbers(model, stack)
    repeated = {i for i, place in enumerate(places) if place in copies}
    changes: Changes = {}
    for key, values in found.items():
        by_place = _is_index(values)
        if not (by_place or _is_index(dict(enumerate(values.values())))):  # silent layers are not counted
            continue
        path, _, name = key.partition(":")
        for i, value in values.items():
            after = value + sum(j < i for j in repeated if by_place or j in values)
            if i in repeated:
                copies[places[i]].append((key, after + 1))
            if after != value:
                changes[f"{'.'.join(piece for piece in (places[i], path) if piece)}:{name}"] = (value, after)
    return changes


def _numbers(model: nn.Module, stack: str) -> tuple[list[str], dict[str, dict[int, int]]]:
    """Paths of a stack's items, and for each number that they hold, by its key inside them: place -> value."""
    items = list(model.get_submodule(stack)._modules.items())
    found: dict[str, dict[int, int]] = {}
    for i, (_, item) in enumerate(items):
        for path, module in modules_of(item) if item is not None else ():
            for name, value in module.__dict__.items():
                if type(value) is int:
                    found.setdefault(f"{path}:{name}", {})[i] = value
    return [f"{stack}.{name}".lstrip(".") for name, _ in items], found


def _is_index(values: Mapping[int, int]) -> bool:
    """Place -> number: whether it numbers the places from 0 or 1 on.

    Two layers with 1 and 2 may as well be dilations; three in a row are an index.
    """
    first, *others = {value - place for place, value in values.items()}
    return not others and first in (0, 1) and len(values) >= 2 + first


def _refuse_silence(what: str) -> NoReturn:
    raise PlanError(f"no layer would be left that has {what}: a cache that counts by it would stay empty")


def _check_cache(
    model: nn.Module,
    stack: str,
    count: int,
    values: Mapping[int, int],
    moved: Mapping[int, tuple[int, int]],
    what: str,
) -> None:
    """Raise where layers cannot move up in a cache that knows them by these numbers."""
    if not moved:
        _refuse_silence(what)
    first = min(values.values())
    if len(values) < count and sorted(values.values()) != list(range(first, first + len(values))):
        raise PlanError(f"{what} numbers layers of several kinds, of which only one would move up")
    places = [".".join(stack.split(".")[:n]) for n in range(len(stack.split(".")))]
    for config in (model.get_submodule(place).__dict__.get("config") for place in places):
        for name, entries in getattr(config, "__dict__", {}).items():
            if type(entries) in (list, tuple) and len(entries) == count:
                if any(entries[old - first] != entries[new - first] for old, new in moved.values()):
                    raise PlanError(f"{name} of the configuration says of each {what} of which kind it is")
