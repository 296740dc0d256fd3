"""The house defends its floors: what a room may import, who may print, and what an error message may hold."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "netsmith"
FILES = sorted(ROOT.rglob("*.py"))

# Low to high. A room imports lower floors only; rooms on the same floor do not import each other.
FLOORS: list[set[str]] = [
    {"errors"},
    {"wiring", "zoo", "data"},
    {"costs", "evidence", "sources"},
    {"scores"},
    {"plans"},
    {"surgery"},
    {"recovery", "training", "checks"},
    {"combining", "searches"},
    {"files", "reports"},
    {"recipes", "testing"},
    {"cli"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FRONT_DOOR = {"__init__", "__main__"}
# Only these may print.
MAY_PRINT = {"cli", "reports"}


def room_of(file: Path, root: Path = ROOT) -> str:
    return file.relative_to(root).parts[0].removesuffix(".py")


def imported_rooms(tree: ast.Module, depth: int) -> Iterator[tuple[int, str]]:
    """(line, room) of every import from netsmith. ``depth``: levels of ``.`` that reach the package's root."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first, _, inner = alias.name.partition(".")
                if first == "netsmith":
                    yield node.lineno, inner.split(".")[0]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level == 0:
                first, _, inner = module.partition(".")
                if first != "netsmith":
                    continue
            elif node.level == depth:
                inner = module
            else:
                continue  # inside the own room
            if inner:
                yield node.lineno, inner.split(".")[0]
            else:
                for alias in node.names:
                    yield node.lineno, alias.name


def floor_faults(file: Path, root: Path = ROOT) -> list[str]:
    room, depth = room_of(file, root), len(file.relative_to(root).parts)
    faults = []
    for line, other in imported_rooms(ast.parse(file.read_text()), depth):
        if other not in FLOOR_OF:
            # Through the front door (netsmith.trace) every room is reachable, so it is closed from inside.
            if other not in {"__version__"}:
                faults.append(f"{file.name}:{line} {room} imports {other or 'netsmith'!r}; name the room it lives in")
        elif other != room and FLOOR_OF[other] >= FLOOR_OF[room]:
            faults.append(f"{file.name}:{line} {room} imports {other}, which is not on a lower floor")
    return faults


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_rooms_import_lower_floors_only(file: Path) -> None:
    room = room_of(file)
    if room in FRONT_DOOR:
        return
    assert room in FLOOR_OF, f"{room} stands on no floor; add it to FLOORS in this file and to CONTRIBUTING.md"
    assert floor_faults(file) == []


@pytest.mark.parametrize(
    ("line", "caught"),
    [
        ("from ..plans import Plan", True),
        ("from ..plans.edits import ResizeAxis", True),
        ("from netsmith.plans.edits import ResizeAxis", True),
        ("import netsmith.plans.edits", True),
        ("import netsmith.plans as p, os", True),
        ("from .. import cli", True),
        ("from netsmith import trace", True),
        ("import netsmith", True),
        ("from ..evidence import gram", True),  # the same floor
        ("def f():\n    from ..recipes import shrink", True),
        ("from ..errors import InputError", False),
        ("from netsmith.wiring import trace", False),
        ("from .. import errors", False),
        ("from .cost import Cost", False),
        ("import numpy.linalg", False),
    ],
)
def test_the_floors_test_sees_every_way_to_import(tmp_path: Path, line: str, caught: bool) -> None:
    room = tmp_path / "costs"
    room.mkdir()
    (room / "probe.py").write_text(line)
    assert bool(floor_faults(room / "probe.py", tmp_path)) is caught


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_only_cli_and_reports_print(file: Path) -> None:
    if room_of(file) in MAY_PRINT:
        return
    calls = [
        node.lineno
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert calls == [], f"{file.name} prints in lines {calls}; return the text instead"


def raw_placeholders(source: str) -> list[str]:
    """``{word}`` in a plain string of a raise statement: an f that was forgotten."""
    faults = []
    for statement in ast.walk(ast.parse(source)):
        if not isinstance(statement, ast.Raise):
            continue
        text = ast.get_source_segment(source, statement) or ""
        if ".format(" in text:
            continue
        # Tokens, because the tree does not tell "{{x}}" in an f-string from "{x}" in the plain string beside it.
        # The brackets let a statement of several lines be read without its indentation.
        for token in tokenize.generate_tokens(io.StringIO(f"({text.removeprefix('raise')})").readline):
            if token.type == tokenize.STRING and not re.match(r"[rRbBuU]*[fF]", token.string):
                faults += [f"line {statement.lineno}: {m}" for m in re.findall(r"\{[A-Za-z_][\w.!:]*\}", token.string)]
    return faults


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_error_messages_hold_no_raw_placeholder(file: Path) -> None:
    assert raw_placeholders(file.read_text()) == []


def test_a_raw_placeholder_is_seen() -> None:
    assert raw_placeholders('raise ValueError("no axis {name}")') == ["line 1: {name}"]
    assert raw_placeholders('raise ValueError(f"no axis {name}" "; see {place!r}")') != []
    assert raw_placeholders('raise ValueError(f"no axis {name}; write {{}} or {{x}}")') == []
    assert raw_placeholders('raise ValueError("no axis {name}".format(name=1))') == []


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_every_file_says_what_it_is_for(file: Path) -> None:
    assert ast.get_docstring(ast.parse(file.read_text())), f"{file.relative_to(ROOT)} has no docstring"
