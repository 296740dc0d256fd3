"""Numbers that follow when layers of a stack are deleted or repeated: their indices, how many there are, lists of them.

An index is an attribute that in every layer of a stack equals the layer's place. How many layers a configuration object
says there are is found by running the constructor on ``meta`` with each number that equals the old count: right is the
one that makes every stack as long as it is now. Lists with one entry a layer are those that a fresh configuration of
the same class makes as long as that number says. No table of architectures, no names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from ..wiring import Wiring
from ..wiring.construction import constructed, construction
from ..wiring.depth import number_at, owner_of, parent_of
from ..wiring.slots import int_values, modules_of
from .configuration import Changes
from .layer_indices import indices_behind, indices_without, stacks_above


@dataclass(frozen=True)
class LayerNumbers:
    """What follows the deleted or repeated layers.

    Attributes:
        changes: attribute -> (before, after); keys as in ``Plan.attributes``.
        lists: deleted or repeated block -> lists that lose its entry, or repeat it.
        copies: repeated block -> numbers of its copy, by their keys inside it ("self_attn:layer_idx").
    """

    changes: Changes = field(default_factory=dict)
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    copies: Mapping[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)


def layer_numbers(
    wiring: Wiring, paths: Sequence[str], *, repeated: bool = False, silent: Sequence[str] = ()
) -> Iterator[LayerNumbers]:
    """Candidates, the most likely first; the caller tries which of them runs.

    Args:
        wiring: of the model.
        paths: of the items that are taken out of their stacks, or behind each of which a copy of it comes.
        repeated: which of the two.
        silent: modules that are replaced by zeros, so that a cache hears nothing of them: those of their kind that come
            later move up in it.

    Raises:
        PlanError: a cache would no longer know which layer is which.
    """
    stacks: dict[str, list[str]] = {}
    for path in paths:
        stacks.setdefault(parent_of(path)[0], []).append(path)
    step = 1 if repeated else -1
    indices: Changes = {}
    copies: dict[str, list[tuple[str, int]]] = {path: [] for path in paths if repeated}
    if repeated:
        for stack in stacks:
            indices |= indices_behind(wiring.model, stack, copies)
    else:
        holders = [parent_of(path)[0] for path in stacks_above(wiring.model, silent)]
        for stack in dict.fromkeys((*stacks, *holders)):
            indices |= indices_without(wiring.model, stack, stacks.get(stack, ()), silent)
    configured = _configured(wiring.model, stacks, step)
    numbers = {path: tuple(found) for path, found in copies.items()}
    fresh: dict[str, tuple[str, ...]] = {}
    every: dict[str, tuple[str, ...]] = {}
    for stack, gone in stacks.items():
        count = len(wiring.model.get_submodule(stack)._modules)
        change = (count, count + step * len(gone))
        keys = [key for key, values in configured.items() if values == change and "config" in key]
        fresh |= dict.fromkeys(gone, tuple(_lists(wiring.model, keys, change, fresh=True)))
        every |= dict.fromkeys(gone, tuple(_lists(wiring.model, keys, change, fresh=False)))
    yield LayerNumbers({**configured, **indices}, fresh, numbers)
    if every != fresh:
        yield LayerNumbers({**configured, **indices}, every, numbers)


def _configured(model: nn.Module, stacks: Mapping[str, Sequence[str]], step: int) -> Changes:
    """What follows in configuration objects, and what their constructors make of it outside the stacks."""
    owned: dict[str, dict[str, Sequence[str]]] = {}  # outermost module with a configuration -> its stacks
    for stack, gone in stacks.items():
        places = [".".join(stack.split(".")[:n]) for n in range(len(stack.split(".")))]
        owner = next((path for path in places if "config" in model.get_submodule(path).__dict__), None)
        if owner is not None:
            owned.setdefault(owner, {})[stack.removeprefix(f"{owner}.")] = gone
    changes: Changes = {}
    for owner, own_stacks in owned.items():
        for key, change in _constructed(model.get_submodule(owner), own_stacks, step).items():
            path, _, attribute = key.partition(":")
            changes[f"{'.'.join(piece for piece in (owner, path) if piece)}:{attribute}"] = change
    return changes


def _constructed(model: nn.Module, stacks: Mapping[str, Sequence[str]], step: int) -> Changes:
    """The counts in the model's configuration, and what the constructor makes of them."""
    first = construction(model)
    if first is None:
        return {}
    own = int_values(model)
    values: dict[str, int] = {}
    longer: tuple[int, int] | None = None
    for stack, gone in stacks.items():
        before = _lengths(model, stack)
        after = {**before, stack: before[stack] + step * len(gone)}
        for key in (k for k, v in own.items() if k.startswith(":config.") and v == before[stack]):
            longer = before[stack], after[stack]
            made = constructed(model, {key: after[stack]}, longer) if after[stack] else None
            if made is not None and _lengths(made, stack) == after:
                values[key] = after[stack]
                break
    made = constructed(model, values, longer) if values else None
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
