"""``package.module:function`` and ``path/file.py:function`` -> the function."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import InputError, UnknownNameError


def find_function(address: str) -> Callable[..., Any]:
    """The function at an address.

    Raises:
        UnknownNameError: no such file, module or function; the message lists what is near.
        InputError: the file or module raises while it is imported.
    """
    place, _, name = address.rpartition(":")
    if not place or not name:
        raise UnknownNameError(f"{address!r} is no address; write package.module:function or path/file.py:function")
    module = _run_file(Path(place)) if place.endswith(".py") else _import_module(place)
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        functions = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        near = get_close_matches(name, functions, n=3) or functions[:8]
        raise UnknownNameError(f"{place} has no function {name!r}; it has {', '.join(near) or 'none'}")
    return found


def call_user(address: str, function: Callable[..., Any], *args: Any) -> Any:
    """Call someone else's code; whatever it raises becomes one clear message.

    Raises:
        InputError: the function raised; the message says what, and in which line.
    """
    try:
        return function(*args)
    except (Exception, SystemExit) as error:  # someone else's code may raise anything
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}, line {last.lineno}"
        raise InputError(f"{address} raised {type(error).__name__}: {error} ({where})") from error


def _import_module(name: str) -> ModuleType:
    # The folder one works in counts, as for `python -m`; a console script does not put it there by itself.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and name.startswith(error.name):
            raise UnknownNameError(
                f"there is no module {name!r} here or among the installed packages; "
                "for a file write path/file.py:function"
            ) from error
        raise InputError(f"importing {name} failed: {error}") from error
    except Exception as error:  # someone else's code may raise anything
        raise InputError(f"importing {name} raised {type(error).__name__}: {error}") from error


def _run_file(file: Path) -> ModuleType:
    if not file.is_file():
        raise UnknownNameError(f"there is no file {str(file)!r} (looked in {Path.cwd()})")
    from ..data.user_files import run_file  # the room's front door loads torch

    found: ModuleType = call_user(str(file), run_file, file, f"_netsmith_file_{file.stem}")
    return found
