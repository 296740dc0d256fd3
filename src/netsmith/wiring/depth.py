"""Takes modules out of a model in place, or puts some in, and renumbers what stood behind them.

Only for copies: ``surgery`` calls it on the copy it makes, ``without`` on a twin that shares the original's tensors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from ..errors import PlanError
from .copying import copied
from .slots import tensor_slots

_CONTAINERS = (nn.Sequential, nn.ModuleList)


def shell(model: nn.Module) -> nn.Module:
    """A structural copy that shares every tensor with the model: its structure may be changed, its values not."""
    return copied(model, {id(slot.tensor): slot.tensor for slot in tensor_slots(model)})


def parent_of(path: str) -> tuple[str, str]:
    """("model.layers", "3") of "model.layers.3"."""
    parent, _, name = path.rpartition(".")
    return parent, name


def is_item(model: nn.Module, path: str) -> bool:
    """Whether the module can be deleted from an ``nn.Sequential`` or ``nn.ModuleList`` whose items are in order."""
    parent, _ = parent_of(path)
    container = model.get_submodule(parent)
    if not isinstance(container, _CONTAINERS):
        return False
    keys = list(container._modules)
    return keys == [str(i) for i in range(len(keys))] or not any(key.isdecimal() for key in keys)


def shared_with(model: nn.Module, path: str) -> str | None:
    """Another path of the module at this path, or of a module inside it that lies outside; None without one."""
    prefix = f"{path}."
    inside = {id(m) for m in model.get_submodule(path).modules()}
    for other, module in model.named_modules(remove_duplicate=False):
        if id(module) in inside and other != path and not other.startswith(prefix):
            return other
    return None


def take_out(model: nn.Module, blocks: Mapping[str, nn.Module | None]) -> None:
    """Replace modules in place, or delete them from their containers (None), which are then renumbered.

    Args:
        model: changed in place.
        blocks: path -> what takes its place; None deletes. Paths are those before any change; none in another.

    Raises:
        PlanError: no such module, a shared one, or one to delete that is no item of a container.
    """
    for path, module in blocks.items():
        _check(model, path, delete=module is None)
    for path, module in blocks.items():
        if module is not None:
            parent, name = parent_of(path)
            model.get_submodule(parent)._modules[name] = module
    deleted = [path for path, module in blocks.items() if module is None]
    for parent in sorted({parent_of(path)[0] for path in deleted}, key=lambda p: -p.count(".")):  # inner ones first
        container = model.get_submodule(parent)
        gone = {parent_of(path)[1] for path in deleted if parent_of(path)[0] == parent}
        kept = {key: item for key, item in container._modules.items() if key not in gone}
        renumber = all(key.isdecimal() for key in container._modules)
        container._modules.clear()
        container._modules.update({str(i): item for i, item in enumerate(kept.values())} if renumber else kept)


def _check(model: nn.Module, path: str, *, delete: bool) -> None:
    try:
        model.get_submodule(path)
    except AttributeError:
        raise PlanError(f"{type(model).__name__} has no module {path!r}") from None
    other = shared_with(model, path)
    if other is not None:
        raise PlanError(f"{path!r} is shared with {other!r}; a shared module cannot be taken out")
    if delete and not is_item(model, path):
        raise PlanError(f"{path!r} is no item of an nn.Sequential or nn.ModuleList that could be deleted")


def renamed(name: str, deleted: Iterable[str]) -> str | None:
    """What a tensor or module is called after these items were deleted; None for what lies in one of them."""
    deleted = list(deleted)
    if any(name == path or name.startswith(f"{path}.") for path in deleted):
        return None
    pieces = name.split(".")
    new = list(pieces)
    for i, piece in enumerate(pieces):
        if piece.isdecimal():
            parent = ".".join(pieces[:i])
            before = [p for p in deleted if parent_of(p)[0] == parent and parent_of(p)[1].isdecimal()]
            new[i] = str(int(piece) - sum(int(parent_of(p)[1]) < int(piece) for p in before))
    return ".".join(new)


def renamed_behind(name: str, repeated: Iterable[str]) -> str:
    """What a tensor or module is called after a copy of each of these items was put behind it."""
    repeated = list(repeated)
    pieces = name.split(".")
    new = list(pieces)
    for i, piece in enumerate(pieces):
        if piece.isdecimal():
            parent = ".".join(pieces[:i])
            places = [parent_of(p) for p in repeated]
            new[i] = str(int(piece) + sum(p == parent and n.isdecimal() and int(n) < int(piece) for p, n in places))
    return ".".join(new)


def put_behind(model: nn.Module, copies: Mapping[str, nn.Module]) -> None:
    """Make modules the next items behind others in their containers, in place; later items are renumbered.

    Args:
        model: changed in place.
        copies: path of an item -> what is put behind it; none inside another. Paths are those before any change.

    Raises:
        PlanError: no such module, or no item of a container whose items are in order.
    """
    for path in copies:
        _check(model, path, delete=True)
    for parent in sorted({parent_of(path)[0] for path in copies}, key=lambda p: -p.count(".")):  # inner ones first
        container = model.get_submodule(parent)
        items: list[tuple[str, nn.Module | None]] = []
        for key, item in container._modules.items():
            items.append((key, item))
            behind = copies.get(f"{parent}.{key}".lstrip("."))
            if behind is not None:
                new = f"{key}_copy"
                while new in container._modules:
                    new += "_copy"
                items.append((new, behind))
        renumber = all(key.isdecimal() for key in container._modules)
        container._modules.clear()
        container._modules.update({str(i) if renumber else key: item for i, (key, item) in enumerate(items)})


def repeat_entries(model: nn.Module, key: str, positions: Sequence[int]) -> None:
    """Repeat entries of a list that has one for each item; raises as ``drop_entries``."""
    _take_entries(model, key, positions, times=2)


def write_numbers(model: nn.Module, numbers: Mapping[str, tuple[float, float]]) -> None:
    """Give int attributes their new values; keys are "module.path:attribute.of.a.config[item]".

    Raises:
        PlanError: an attribute that is missing, or has not the value that it should have had before.
    """
    for key, (before, after) in numbers.items():
        found = number_at(model, key)
        if found is None or found != before or type(after) is not int:
            raise PlanError(f"attribute {key!r} is {found}; the plan expects the whole number {before}")
        owner, name = owner_of(model, key)
        name, *items = name.replace("]", "").split("[")
        owner.__dict__[name] = _with_item(owner.__dict__[name], [int(i) for i in items], after)


def number_at(model: nn.Module, key: str) -> int | None:
    """The whole number with this key; None where there is none."""
    try:
        owner, name = owner_of(model, key)
        name, *items = name.replace("]", "").split("[")
        value = owner.__dict__.get(name)
        for i in items:
            value = value[int(i)]
    except (PlanError, TypeError, IndexError, ValueError):
        return None
    return value if type(value) is int else None


def drop_entries(model: nn.Module, key: str, positions: Sequence[int]) -> None:
    """Take entries out of a list that has one for each item.

    Raises:
        PlanError: no such list, or too short.
    """
    _take_entries(model, key, positions, times=0)


def _take_entries(model: nn.Module, key: str, positions: Sequence[int], *, times: int) -> None:
    owner, name = owner_of(model, key)
    value = owner.__dict__.get(name)
    if type(value) not in (list, tuple) or max(positions) >= len(value):
        raise PlanError(f"attribute {key!r} is no list with an entry for each item")
    taken = (e for i, entry in enumerate(value) for e in [entry] * (times if i in positions else 1))
    owner.__dict__[name] = type(value)(taken)


def owner_of(model: nn.Module, key: str) -> tuple[Any, str]:
    """The module or configuration object that has the attribute, and the attribute's name there.

    Raises:
        PlanError: there is none.
    """
    path, _, attribute = key.partition(":")
    *objects, name = attribute.split(".")
    try:
        owner: Any = model.get_submodule(path)
        for each in objects:
            owner = owner.__dict__[each]
            if isinstance(owner, (type, nn.Module)):
                raise KeyError(each)
        if name.partition("[")[0] not in owner.__dict__:
            raise KeyError(name)
    except (AttributeError, KeyError):
        raise PlanError(f"{type(model).__name__} has no attribute {key!r}") from None
    return owner, name


def _with_item(value: Any, items: Sequence[int], new: int) -> Any:
    if not items:
        return new
    changed = [_with_item(v, items[1:], new) if i == items[0] else v for i, v in enumerate(value)]
    return type(value)(changed)
