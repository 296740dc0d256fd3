"""Pieces of HTML that every page is made of. Text goes in as it is; it is escaped here, once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: what it says.
        below: a second line, small: mostly a share.
        number: it is set to the right.
        bar: 0 to 1: a bar of that length stands beside the text; None: there is none.
        code: the text is a name.
    """

    text: str
    below: str = ""
    number: bool = True
    bar: float | None = None
    code: bool = False

    def html(self, tag: str = "td") -> str:
        text = f"<code>{escape(self.text)}</code>" if self.code else escape(self.text)
        bar = "" if self.bar is None else f"<span class=bar><span style='width:{self.bar:.1%}'></span></span>"
        below = f"<span class=share>{escape(self.below)}</span>" if self.below else ""
        scope = " scope=row" if tag == "th" else ""
        return f"<{tag}{scope}{' class=n' if self.number and self.bar is None else ''}>{bar}{text}{below}</{tag}>"


def name(text: str) -> Cell:
    """A cell that names something of the model."""
    return Cell(text, number=False, code=True)


def words(text: str) -> Cell:
    """A cell of text."""
    return Cell(text, number=False)


def table(caption: str, headings: Sequence[str], rows: Iterable[Sequence[Cell]], *, last: bool = False) -> str:
    """A table that scrolls sideways by itself where it is wider than the page.

    Args:
        caption: what it shows; read aloud, not shown.
        headings: of the columns; a column is set to the right where its cells in the first row are.
        rows: cells; the first of each names the row.
        last: the last row is the result, and is set in bold.
    """
    listed = list(rows)
    right = [cell.number and cell.bar is None for cell in listed[0]] if listed else [False] * len(headings)
    head = "".join(
        f"<th scope=col{' class=n' if is_right else ''}>{escape(heading)}</th>"
        for heading, is_right in zip(headings, right, strict=True)
    )
    body = "".join(
        f"<tr{' class=last' if last and len(listed) > 1 and row is listed[-1] else ''}>"
        f"{row[0].html('th')}{''.join(cell.html() for cell in row[1:])}</tr>"
        for row in listed
    )
    return (
        f"<div class=scroll tabindex=0 role=region aria-label='{escape(caption)}'><table>"
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


@dataclass(frozen=True)
class Section:
    """A part of a page: its address, its heading, and HTML; empty HTML means that the page goes without it."""

    id: str
    heading: str
    html: str

    def text(self) -> str:
        return f"<section id={self.id}><h2>{escape(self.heading)}</h2>{self.html}</section>"


def contents(sections: Iterable[Section]) -> str:
    """Links to the sections."""
    links = "".join(f"<li><a href='#{section.id}'>{escape(section.heading)}</a></li>" for section in sections)
    return f"<nav aria-label='On this page'><ul>{links}</ul></nav>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text; nothing where there is none."""
    return f"<p{f' class={kind}' if kind else ''}>{escape(text)}</p>" if text else ""


def tile(label: str, big: str, small: str) -> str:
    """One number of a row of tiles."""
    return (
        f"<li><span class=label>{escape(label)}</span><b>{escape(big)}</b><span class=from>{escape(small)}</span></li>"
    )


def details(summary: str, html: str) -> str:
    """What is shown on request."""
    return f"<details><summary>{escape(summary)}</summary>{html}</details>"
