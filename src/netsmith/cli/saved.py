"""``--out DIR``, and what ``source.json`` in a folder says."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ..errors import FileError
from ..sources.saved import SOURCE, checked_source, is_harmless, read_source, source_text

__all__ = ["SOURCE", "checked_source", "is_harmless", "read_source", "refuse_occupied", "source_text"]


def refuse_occupied(folder: Path) -> None:
    """Before the work starts, what ``netsmith.save`` would say after it.

    Raises:
        FileError: a file, or a folder with something in it, or a place where no folder can be made.
    """
    try:
        if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
            raise FileError(
                f"--out {folder}: there is something already, and nothing is overwritten; give another folder"
            )
        there = next(parent for parent in folder.resolve().parents if parent.exists())
        tempfile.TemporaryDirectory(dir=there, prefix=".netsmith.").cleanup()
    except OSError as error:
        raise FileError(f"--out {folder}: cannot be written ({error.strerror}); give another folder") from error
