"""The frame of every page: it holds everything it needs and opens offline."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib.resources import files

from .. import __version__


def page(title: str, parts: Iterable[str], *, footer: str) -> str:
    """One HTML page.

    Args:
        title: of the window; parts bring their own headings.
        parts: HTML; empty ones are left out.
        footer: plain text behind the line that says who wrote the page.
    """
    style = (files("netsmith.reports") / "report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>\n{style}</style></head>\n<body><main>\n"
        + "\n".join(part for part in parts if part)
        + f"\n<footer>Written by netsmith {escape(__version__)}. {escape(footer)}</footer>"
        + "\n</main></body></html>\n"
    )
