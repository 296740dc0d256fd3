"""Folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import FileError


@contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary folder beside ``path`` that takes its name when the block ends well, and vanishes when it raises.

    Parents are made; those that were made here vanish as well on an error. An empty folder at ``path`` is replaced.

    Raises:
        FileError: ``path`` is a file or a folder with something in it, or its location cannot be written.
    """
    target = Path(path).resolve()
    _refuse_occupied(target, path)
    made: list[Path] = []
    staging = target.parent / f".{target.name}.{uuid.uuid4().hex[:12]}.tmp"
    try:
        try:
            made = _make_parents(target.parent)
            staging.mkdir()  # not tempfile: the folder gets the permissions that the user's umask asks for
            yield staging
            if target.exists():
                target.rmdir()
            staging.rename(target)
        except OSError as error:
            reason = error.strerror or str(error)
            raise FileError(
                f"{path}: cannot be written ({reason}: {error.filename or target}). Give a path in a folder that you "
                "may write to; nothing was left behind."
            ) from error
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        for folder in reversed(made):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        raise


def _refuse_occupied(target: Path, path: str | os.PathLike[str]) -> None:
    try:
        in_the_way = [str(target)] if target.is_file() else sorted(str(entry) for entry in target.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror}). Give another path.") from error
    if in_the_way:
        more = f" and {len(in_the_way) - 1} more" if len(in_the_way) > 1 else ""
        raise FileError(
            f"{path}: {in_the_way[0]}{more} is in the way. Give a path that does not exist yet, or an empty folder; "
            "netsmith overwrites nothing."
        )


def _make_parents(folder: Path) -> list[Path]:
    """Make a folder and its parents; returns those that were missing, outermost first."""
    missing = [f for f in (folder, *folder.parents) if not f.exists()][::-1]
    folder.mkdir(parents=True, exist_ok=True)
    return missing
