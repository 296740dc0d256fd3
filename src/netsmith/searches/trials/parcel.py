"""Work on its way to another process: bytes in memory, never a file. Tensors that share memory still share it there.

Files of the user's own, whose functions and classes the work may hold, are named before it and run there first.
"""

from __future__ import annotations

import functools
import io
import json
import pickle
from collections.abc import Iterator
from typing import Any

import torch

from ...data.user_files import files_that_ran, run_again
from ...errors import InputError
from .trial import Work


def pack(work: Work, pickler: Any = pickle) -> bytes:
    """The work with all it holds (model, data, functions), copied.

    Args:
        pickler: the module that pickles, e.g. ``ray.cloudpickle``.

    Raises:
        InputError: something in it cannot be copied; says which part.
    """
    try:
        return _packed(work, pickler)
    except Exception as error:  # each class may fail in its own way
        guilty = [f"{name} ({fault})" for name, value in _parts(work) if (fault := _fault(value, pickler))]
        raise InputError(
            f"the work cannot be sent to worker processes: {'; '.join(guilty) or error}.\n"
            "Define functions and classes at the top level of a module (no lambda, nothing inside a function), give "
            "data as a list or a data set and not as a generator, or use workers=1"
        ) from error


def unpack(parcel: bytes) -> Work:
    """The inverse, in the process that received the parcel from its own parent or driver."""
    files, _, content = parcel.partition(b"\n")
    run_again(json.loads(files))
    return torch.load(io.BytesIO(content), weights_only=False)


def _packed(content: Any, pickler: Any) -> bytes:
    buffer = io.BytesIO()
    buffer.write(json.dumps(files_that_ran()).encode() + b"\n")
    torch.save(content, buffer, pickle_module=pickler)
    return buffer.getvalue()


def _parts(work: Any) -> Iterator[tuple[str, Any]]:
    """(name, what the work holds under it)."""
    if isinstance(work, functools.partial):
        yield from _parts(work.func)
        yield from ((f"argument {i}", value) for i, value in enumerate(work.args))
        yield from work.keywords.items()
    elif getattr(work, "__self__", None) is not None:  # a bound method
        yield from _parts(work.__self__)
    elif callable(work) and hasattr(work, "__qualname__"):
        yield work.__qualname__, work
    else:
        yield from vars(work).items() if hasattr(work, "__dict__") else ()


def _fault(value: Any, pickler: Any) -> str | None:
    try:
        _packed(value, pickler)
    except Exception as error:
        return str(error)
    return None
