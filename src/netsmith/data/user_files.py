"""Python files of the user's own, run as modules: each once, and in worker processes again under the same name."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from ..errors import InputError

_RUN: dict[str, tuple[str, str]] = {}  # name of a module -> its file, and the digest of what stood in it


def run_file(file: Path, name: str) -> ModuleType:
    """The file as a module of that name, able to import what lies beside it.

    A file that has not changed is run once: what was pickled of its functions and classes still is what they are.

    Raises:
        InputError: it cannot be run as Python. And whatever the file's own code raises.
    """
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise InputError(f"{file} cannot be run as a Python file")
    seen = str(file.resolve()), hashlib.sha256(file.read_bytes()).hexdigest()
    if _RUN.get(name) == seen and name in sys.modules:
        return sys.modules[name]
    module = importlib.util.module_from_spec(spec)
    # The name must stand in sys.modules (dataclasses and worker processes look there), the folder in sys.path.
    sys.modules[name] = module
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    _RUN[name] = seen
    return module


def files_that_ran() -> dict[str, str]:
    """Name of a module -> its file: what a process needs in which something of them is unpickled."""
    return {name: file for name, (file, _) in _RUN.items() if name in sys.modules}


def run_again(files: Mapping[str, str]) -> None:
    """In another process, before that: run what ``files_that_ran`` told."""
    for name, file in files.items():
        run_file(Path(file), name)
