"""The frame of every page: it holds everything it needs and opens offline."""

from __future__ import annotations

import os
from collections.abc import Iterable
from html import escape
from importlib.resources import files
from pathlib import Path

from .. import __version__
from ..errors import FileError

MARK = '<meta name="generator" content="netsmith">'


def page(title: str, parts: Iterable[str], *, footer: str) -> str:
    """One HTML page.

    Args:
        title: of the window; parts bring their own headings.
        parts: HTML; empty ones are left out.
        footer: plain text behind the line that says who wrote the page.
    """
    style = (files("netsmith.reports") / "report.css").read_text(encoding="utf-8")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{MARK}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>\n{style}</style></head>\n<body><main>\n"
        + "\n".join(part for part in parts if part)
        + f"\n<footer>Written by netsmith {escape(__version__)}. {escape(footer)}</footer>"
        + "\n</main></body></html>\n"
    )


def write_html(path: str | os.PathLike[str], html: str) -> None:
    """Write a page, replacing the file; its folder is made.

    Raises:
        FileError: the file cannot be written, or it is there and is no page of ours.
    """
    target = Path(path)
    try:
        if target.is_file() and MARK.encode() not in target.read_bytes()[:1024]:
            raise FileError(f"{target} is there and was not written by netsmith; give another path")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(html, encoding="utf-8")
    except OSError as error:
        raise FileError(
            f"{target}: cannot be written ({error.strerror}: {error.filename}). Give a path that you may write to."
        ) from error
