"""Numbers that follow when layers of a stack are deleted: their indices, how many there are, lists with one entry each.

An index is an attribute that in every layer of a stack equals the layer's place. How many layers a configuration object
says there are is found by running the constructor on ``meta`` with each number that equals the old count: right is the
one that makes every stack as long as it is now. Lists with one entry a layer are those that a fresh configuration of
the same class makes as long as that number says. No table of architectures, no names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from torch import nn

from ..errors import PlanError
from ..wiring import Wiring
from ..wiring.construction import constructed, construction
from ..wiring.depth import number_at, owner_of, parent_of
from ..wiring.slots import int_values, modules_of
from .configuration import Changes


@dataclass(frozen=True)
class LayerNumbers:
    """What follows the deleted layers.

    Attributes:
        changes: attribute -> (before, after); keys as in ``Plan.attributes``.
        lists: deleted block -> lists that lose its entry.
    """

    changes: Changes = field(default_factory=dict)
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def layer_numbers(wiring: Wiring, deleted: Sequence[str], silent: Sequence[str] = ()) -> Iterator[LayerNumbers]:
    """Candidates, the most likely first; the caller tries which of them runs.

    Args:
        wiring: of the model.
        deleted: items that are taken out of their stacks.
        silent: modules that are replaced by zeros, so that a cache hears nothing of them: those of their kind that come
            later move up in it.

    Raises:
        PlanError: a cache would no longer know which layer is which.
    """
    stacks: dict[str, list[str]] = {}
    for path in deleted:
        stacks.setdefault(parent_of(path)[0], []).append(path)
    indices: Changes = {}
    holders = [parent_of(path)[0] for path in stacks_above(wiring.model, silent)]
    for stack in dict.fromkeys((*stacks, *holders)):
        indices |= _indices(wiring.model, stack, stacks.get(stack, ()), silent)
    configured = _configured(wiring.model, stacks)
    fresh: dict[str, tuple[str, ...]] = {}
    every: dict[str, tuple[str, ...]] = {}
    for stack, gone in stacks.items():
        count = len(wiring.model.get_submodule(stack)._modules)
        change = (count, count - len(gone))
        keys = [key for key, values in configured.items() if values == change and "config" in key]
        fresh |= dict.fromkeys(gone, tuple(_lists(wiring.model, keys, change, fresh=True)))
        every |= dict.fromkeys(gone, tuple(_lists(wiring.model, keys, change, fresh=False)))
    yield LayerNumbers({**configured, **indices}, fresh)
    if every != fresh:
        yield LayerNumbers({**configured, **indices}, every)


def stacks_above(model: nn.Module, paths: Sequence[str]) -> list[str]:
    """Every item of an ``nn.Sequential`` or ``nn.ModuleList`` in which one of these modules lies."""
    above = {".".join(path.split(".")[:n]) for path in paths for n in range(1, path.count(".") + 1)}
    return sorted(
        item for item in above if isinstance(model.get_submodule(parent_of(item)[0]), (nn.Sequential, nn.ModuleList))
    )


def _indices(model: nn.Module, stack: str, gone: Sequence[str], silent: Sequence[str]) -> Changes:
    """Index attributes of the layers that move up."""
    items = list(model.get_submodule(stack)._modules.items())
    places = [f"{stack}.{name}".lstrip(".") for name, _ in items]
    deleted = {i for i, place in enumerate(places) if place in gone}
    seen: dict[str, dict[int, int]] = {}
    for i, (_, item) in enumerate(items):
        for path, module in modules_of(item) if item is not None else ():
            for name, value in module.__dict__.items():
                if type(value) is int:
                    seen.setdefault(f"{path}:{name}", {})[i] = value
    changes: Changes = {}
    for key, values in seen.items():
        path, _, name = key.partition(":")
        full = [".".join(piece for piece in (place, path) if piece) for place in places]
        mute = {i for i in values if any(full[i] == s or full[i].startswith(f"{s}.") for s in silent)} - deleted
        by_place = _is_index(values)
        if mute and len(items) == 1 and values == {0: 0}:  # too few to tell an index by
            _refuse_silence(f"{stack}.*.{key}")
        if not (deleted or mute) or not (by_place or _is_index(dict(enumerate(values.values())))):
            continue
        lost = deleted | mute if by_place else (deleted | mute) & set(values)
        moved = {i: (value, value - sum(j < i for j in lost)) for i, value in values.items() if i not in lost}
        if mute:
            _check_cache(model, stack, len(items), values, moved, f"{stack}.*.{key}")
        changes |= {f"{full[i]}:{name}": change for i, change in moved.items() if change[0] != change[1]}
    return changes


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


def _configured(model: nn.Module, stacks: Mapping[str, Sequence[str]]) -> Changes:
    """What follows in configuration objects, and what their constructors make of it outside the stacks."""
    owned: dict[str, dict[str, Sequence[str]]] = {}  # outermost module with a configuration -> its stacks
    for stack, gone in stacks.items():
        places = [".".join(stack.split(".")[:n]) for n in range(len(stack.split(".")))]
        owner = next((path for path in places if "config" in model.get_submodule(path).__dict__), None)
        if owner is not None:
            owned.setdefault(owner, {})[stack.removeprefix(f"{owner}.")] = gone
    changes: Changes = {}
    for owner, own_stacks in owned.items():
        for key, change in _constructed(model.get_submodule(owner), own_stacks).items():
            path, _, attribute = key.partition(":")
            changes[f"{'.'.join(piece for piece in (owner, path) if piece)}:{attribute}"] = change
    return changes


def _constructed(model: nn.Module, stacks: Mapping[str, Sequence[str]]) -> Changes:
    """The counts in the model's configuration, and what the constructor makes of them."""
    first = construction(model)
    if first is None:
        return {}
    own = int_values(model)
    values: dict[str, int] = {}
    for stack, gone in stacks.items():
        before = _lengths(model, stack)
        after = {**before, stack: before[stack] - len(gone)}
        for key in (k for k, v in own.items() if k.startswith(":config.") and v == before[stack]):
            made = constructed(model, {key: after[stack]}) if after[stack] else None
            if made is not None and _lengths(made, stack) == after:
                values[key] = after[stack]
                break
    made = constructed(model, values) if values else None
    if made is None:
        return {}
    changes: Changes = {key: (own[key], value) for key, value in values.items()}
    for key, value in own.items():
        inside = any(key.startswith(f"{stack}.") for stack in stacks)
        now = number_at(made, key) if not inside and first.numbers.get(key) == value else None
        if now is not None and now != value:
            changes[key] = (value, now)
    return changes


def _lengths(model: nn.Module, stack: str) -> dict[str, int]:
    """Items of every stack that lies in no item of this one."""
    return {
        path: len(module._modules)
        for path, module in modules_of(model)
        if isinstance(module, (nn.Sequential, nn.ModuleList)) and not path.startswith(f"{stack}.")
    }


def _lists(model: nn.Module, keys: Sequence[str], change: tuple[float, float], *, fresh: bool) -> Iterator[str]:
    """Lists as long as the count, beside it in a configuration; ``fresh``: that a new configuration makes so long."""
    for key in keys:
        config, name = owner_of(model, key)
        lists = [n for n, v in config.__dict__.items() if type(v) in (list, tuple) and len(v) == change[0]]
        if fresh:
            lists = [n for n in lists if _follows(type(config), n, name, change)]
        yield from (key.removesuffix(name) + n for n in lists)


def _follows(kind: type, name: str, count: str, change: tuple[float, float]) -> bool:
    try:
        return all(len(getattr(kind(**{count: n}), name)) == n for n in change)
    except Exception:  # a constructor that wants more arguments, or an attribute that is no list there
        return False
