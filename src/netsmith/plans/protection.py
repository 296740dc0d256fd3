"""Which axes and tensors a caller's name patterns protect."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from ..errors import InputError, UnknownNameError
from ..wiring import Wiring
from ..wiring.layouts import axis_names


def protected_axes(wiring: Wiring, ignore: Iterable[str]) -> set[str]:
    """Axes on the inputs, outputs and parameters of every module or tensor whose name matches a pattern.

    Args:
        wiring: of the model.
        ignore: shell-style patterns over module paths, tensor names and axis names, e.g. ``("head", "layer4.*")``.

    Raises:
        InputError: a pattern that is no string.
        UnknownNameError: a pattern that matches nothing.
    """
    patterns = _patterns(ignore)
    protected: set[str] = set()
    modules = [path for path, _ in wiring.model.named_modules()]
    for pattern in patterns:
        matched = {path for path in modules if path and fnmatchcase(path, pattern)}
        tensors = {n for n in wiring.layouts if fnmatchcase(n, pattern) or any(n.startswith(f"{m}.") for m in matched)}
        tensors |= {first for alias, first in wiring.aliases.items() if fnmatchcase(alias, pattern)}
        named = {axis.name for axis in wiring.axes if fnmatchcase(axis.name, pattern)}
        if not matched and not tensors and not named:
            raise UnknownNameError(
                f"ignore pattern {pattern!r} matches no module, tensor or axis; "
                f"modules are named like {', '.join(repr(m) for m in modules[1:5])}"
            )
        protected |= named
        for tensor in tensors:
            protected |= {n for layout in wiring.layouts[tensor] for n in axis_names(layout)}
        for path in matched:
            protected |= {n for layout in wiring.module_layouts.get(path, ()) for n in axis_names(layout)}
    return protected


def protected_tensors(wiring: Wiring, ignore: Iterable[str]) -> set[str]:
    """Tensors that match a pattern themselves or lie in a module that does; patterns as in ``protected_axes``.

    Raises:
        InputError: a pattern that is no string.
        UnknownNameError: a pattern that matches nothing.
    """
    protected: set[str] = set()
    modules = [path for path, _ in wiring.model.named_modules() if path]
    for pattern in _patterns(ignore):
        inside = tuple(f"{path}." for path in modules if fnmatchcase(path, pattern))
        tensors = {name for name in wiring.layouts if fnmatchcase(name, pattern) or name.startswith(inside)}
        tensors |= {first for alias, first in wiring.aliases.items() if fnmatchcase(alias, pattern)}
        if not inside and not tensors:
            raise UnknownNameError(
                f"ignore pattern {pattern!r} matches no module or tensor; modules are named like "
                f"{', '.join(map(repr, modules[:4]))}"
            )
        protected |= tensors
    return protected


def _patterns(ignore: Any) -> tuple[str, ...]:
    patterns = (ignore,) if isinstance(ignore, str) else tuple(ignore) if isinstance(ignore, Iterable) else (ignore,)
    wrong = [pattern for pattern in patterns if not isinstance(pattern, str)]
    if wrong:
        raise InputError(f"ignore={wrong[0]!r} is no name pattern; give strings such as 'head' or 'layer4.*'")
    return patterns
