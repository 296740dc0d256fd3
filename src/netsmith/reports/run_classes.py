"""Confusion matrices and F1 of each class, before and after."""

from __future__ import annotations

from html import escape

from .elements import Cell, paragraph, table, words
from .numbers import NONE, score_text
from .record import ClassesRecord, RunRecord

DRAWN = 20  # up to so many classes a matrix can be read; of more the most frequent confusions are listed
LISTED = 20


def classes(run: RunRecord) -> str:
    """Matrices of the first and the last step that have one, and F1 of each class. Empty where no step has."""
    found = [(step.name, step.classes) for step in run.steps if step.classes is not None]
    if not found:
        return ""
    ends = found if len(found) == 1 else [found[0], found[-1]]
    shown = [_matrix(step, each) for step, each in ends]
    return f"<div class=beside>{''.join(shown)}</div>" + _f1(ends)


def _matrix(step: str, found: ClassesRecord) -> str:
    if not found.confusion:
        said = f"{len(found.labels):,} classes are too many for a matrix; F1 of each stands below."
        return f"<div><h3>{escape(step)}</h3>{paragraph(said, 'quiet')}</div>"
    if len(found.labels) > DRAWN:
        return f"<div><h3>{escape(step)}</h3>{_most_confused(found)}</div>"
    head = "".join(f"<th scope=col class=n>{escape(label)}</th>" for label in found.labels)
    rows = "".join(
        f"<tr><th scope=row>{escape(label)}</th>{''.join(_count(n, sum(row), i == j) for j, n in enumerate(row))}</tr>"
        for i, (label, row) in enumerate(zip(found.labels, found.confusion, strict=True))
    )
    caption = f"{step}: right class in rows, answer in columns"
    return (
        f"<div><h3>{escape(step)}</h3><div class=scroll tabindex=0 role=region aria-label='{escape(caption)}'>"
        f"<table class=confusion><caption>{escape(caption)}</caption><thead><tr><td></td>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div></div>"
    )


def _count(count: int, all_of_class: int, right: bool) -> str:
    if not count:
        return "<td class='n none'>0</td>"
    shade = round(10 + 35 * count / max(all_of_class, 1))
    return f"<td class='n {'right' if right else 'wrong'}' style='--shade:{shade}%'>{count:,}</td>"


def _most_confused(found: ClassesRecord) -> str:
    wrong = [
        (count, found.labels[i], found.labels[j])
        for i, row in enumerate(found.confusion)
        for j, count in enumerate(row)
        if i != j and count
    ]
    most = sorted(wrong, key=lambda each: -each[0])[:LISTED]
    rows = [[words(right), words(said), Cell(f"{count:,}")] for count, right, said in most]
    return table("Most frequent confusions", ("right class", "answer", "examples"), rows) if rows else ""


def _f1(ends: list[tuple[str, ClassesRecord]]) -> str:
    by_step = [dict(zip(found.labels, found.f1, strict=False)) for _, found in ends]
    labels = list(dict.fromkeys(label for f1 in by_step for label in f1))
    rows = []
    for label in labels:
        values = [f1.get(label) for f1 in by_step]
        row = [words(label), *[Cell(score_text(value)) for value in values]]
        if len(values) == 2:
            both = values[0] is not None and values[1] is not None
            row.append(Cell(f"{(values[1] or 0.0) - (values[0] or 0.0):+.4f}" if both else NONE))
        rows.append(row)
    headings = ["class", *[f"F1, {step}" for step, _ in ends], *(["change"] if len(ends) == 2 else [])]
    return "<h3>F1 of each class</h3>" + table("F1 of each class", headings, rows)
