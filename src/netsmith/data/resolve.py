"""Name -> batches, as the command line's ``--data`` takes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import InputError, UnknownNameError
from .batches import batches
from .digits import digits
from .imagefolder import imagefolder
from .images import Pixels
from .parquet import parquet
from .user_files import run_file

FORMS = """  digits                     scikit-learn's digits; also digits:validation, digits:test
  imagefolder:DIR            images, one sub-folder a class
  parquet:FILE               column image (or audio) and label
  path/file.py:function      your function, called without arguments; returns an iterable of (x, y) batches"""


def open_data(
    name: str,
    *,
    batch_size: int = 64,
    shuffle: bool = False,
    seed: int = 0,
    pixels: Pixels | None = None,
    label: str | None = "label",
    length: int | None = None,
) -> Iterable[Any]:
    """An iterable of batches that can be iterated again and again.

    Args:
        name: ``digits[:train|validation|test]``, ``imagefolder:DIR``, ``parquet:FILE`` or ``path/file.py:function``.
        batch_size, shuffle, seed: as in :func:`batches`; a function of your own batches as it likes.
        pixels: as in :func:`imagefolder`.
        label, length: as in :func:`parquet`.

    Raises:
        UnknownNameError: the name has none of these forms, or no such split or function; the message lists what is.
        InputError: the file or folder cannot be used, or the function raises or returns no iterable.
    """
    kind, _, rest = name.partition(":")
    if kind == "digits":
        return batches(_digits_split(rest or "train"), batch_size, shuffle=shuffle, seed=seed)
    if kind == "imagefolder" and rest:
        return batches(imagefolder(rest, pixels=pixels), batch_size, shuffle=shuffle, seed=seed)
    if kind == "parquet" and rest:
        return batches(parquet(rest, label=label, pixels=pixels, length=length), batch_size, shuffle=shuffle, seed=seed)
    file, _, function = name.rpartition(":")
    if file.endswith(".py") and function:
        return _called(Path(file), function)
    raise UnknownNameError(f"unknown data {name!r}; there are\n{FORMS}")


def _digits_split(split: str) -> Any:
    if split not in ("train", "validation", "test"):
        raise UnknownNameError(f"digits has no split {split!r}; it has train, validation and test")
    return getattr(digits(), split)


class _Batches(Iterable[Any]):
    """What a user's function returned; whatever it raises while it is read becomes one clear message.

    An iterator can be gone through once, so for every further pass the function is called again.
    """

    def __init__(self, file: Path, name: str, function: Callable[[], Iterable[Any]], first: Iterable[Any]) -> None:
        self.file, self.name, self.function, self.first = file, name, function, first

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self.function() if isinstance(self.first, Iterator) else self.first
        except (Exception, SystemExit) as error:  # someone else's code may raise anything
            raise InputError(
                f"{self.file}:{self.name}() raised {type(error).__name__} while it was read: {error}"
                f"{_line(error, self.file)}"
            ) from error

    def __len__(self) -> int:
        return len(self.first)  # type: ignore[arg-type]  # a TypeError where it has none, as Python would raise


def _called(file: Path, name: str) -> Iterable[Any]:
    if not file.is_file():
        raise InputError(f"{file} does not exist; {file}:{name} should be a Python file and a function in it")
    module = _run(file)
    function: Any = getattr(module, name, None)
    if not callable(function):
        own = [k for k, v in vars(module).items() if getattr(v, "__module__", None) == module.__name__ and callable(v)]
        raise UnknownNameError(f"{file} has no function {name!r}; it has {', '.join(sorted(own)) or 'none'}")
    try:
        result = function()
    except (Exception, SystemExit) as error:  # someone else's code may raise anything
        raise InputError(f"{file}:{name}() raised {type(error).__name__}: {error}{_line(error, file)}") from error
    if isinstance(result, str | bytes) or not isinstance(result, Iterable):
        raise InputError(
            f"{file}:{name}() returned {type(result).__name__}; it must return an iterable of (x, y) batches"
        )
    return _Batches(file, name, function, result)


def _run(file: Path) -> Any:
    """The file as a module of its own, able to import what lies beside it."""
    try:
        return run_file(file, f"_netsmith_data_{file.stem}")
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # someone else's code may raise anything
        raise InputError(f"{file} cannot be run: {type(error).__name__}: {error}{_line(error, file)}") from error


def _line(error: BaseException, file: Path) -> str:
    """Where in the user's file it happened: `` (line 12)``."""
    frames, lines = error.__traceback__, []
    while frames is not None:
        if Path(frames.tb_frame.f_code.co_filename).resolve() == file.resolve():
            lines.append(frames.tb_lineno)
        frames = frames.tb_next
    return f" (line {lines[-1]})" if lines else ""
