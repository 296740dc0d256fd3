"""YAML text -> plain values, and the line of each: only what a recipe needs, and nothing that can hurt.

Tags, anchors and merge keys are refused (an anchor of anchors grows without end), as are keys that stand twice, of
which YAML would silently take the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..errors import FileError, InputError

MAX_BYTES = 256 * 2**10
MAX_DEPTH = 20
Place = tuple[str | int, ...]
"""Keys and positions from the top: ("steps", 2, "cut", "blocks")."""

_PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "map", "seq")}
_TIME = "tag:yaml.org,2002:timestamp"  # 2026-01-01: here just text


@dataclass(frozen=True)
class Document:
    """What a file says.

    Attributes:
        where: the file, for messages.
        content: dicts with text keys, lists, text, numbers, booleans and None.
        lines: place -> line, from 1.
    """

    where: str
    content: Any
    lines: Mapping[Place, int]

    def line_of(self, place: Place) -> int:
        """The line of a place, or of the nearest thing around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def at(self, place: Place) -> str:
        """``recipe.yaml, line 12``; of a mapping, which has no lines, the place itself."""
        if not self.lines:
            return ", ".join(filter(None, (self.where, ".".join(map(str, place)))))
        return f"{self.where}, line {self.line_of(place)}"


def read_yaml(path: Path) -> Document:
    """The document in a file.

    Raises:
        FileError: no such file, larger than 256 KiB, or no text.
        InputError: as ``parse_yaml``.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FileError(f"{path} is larger than {MAX_BYTES:,} bytes; no recipe is")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"{path} is no text in UTF-8: {error}") from error
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error.strerror or error})") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> Document:
    """The one document in a text.

    Raises:
        InputError: no YAML, or YAML that no recipe needs (see above); the message says in which line.
    """
    try:
        _refuse_what_hurts(text, where)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: dict[Place, int] = {}
        return Document(where, None if node is None else _Reader(where, lines).value(node, ()), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        said = " ".join(filter(None, (error.problem, error.context)))
        raise InputError(f"{where}{line}: this is no YAML: {said}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{where}: this is no YAML: {error}") from error


def _refuse_what_hurts(text: str, where: str) -> None:
    """Goes through the events, which are made one by one and nest nothing."""
    depth = documents = 0
    for event in _events(text):
        at = f"{where}, line {event.start_mark.line + 1}"
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise InputError(f"{at}: anchors and aliases (&, *) are not read; write it out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise InputError(f"{at}: nested more than {MAX_DEPTH} deep; no recipe is")
        documents += isinstance(event, yaml.DocumentStartEvent)
        if documents > 1:
            raise InputError(f"{at}: a second document begins here (---); a recipe is one")


def _events(text: str) -> Iterator[Any]:
    return yaml.parse(text, Loader=yaml.SafeLoader)


class _Reader:
    def __init__(self, where: str, lines: dict[Place, int]) -> None:
        self.where, self.lines = where, lines
        self.scalars = yaml.constructor.SafeConstructor()

    def value(self, node: Any, place: Place) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(place, line)
        if node.tag == _TIME:
            return node.value
        if node.tag not in _PLAIN:
            raise InputError(f"{self.where}, line {line}: {node.tag} is not read; only text, numbers, lists, mappings")
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*place, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        try:
            return self.scalars.construct_object(node)
        except ValueError as error:  # a number with thousands of digits
            raise InputError(f"{self.where}, line {line}: {error}") from error

    def _mapping(self, node: Any, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                shown = getattr(key, "value", "")
                shown = repr(shown) if isinstance(shown, str) else "this"
                raise InputError(f"{self.where}, line {line}: {shown} is no name; put quotes around a key like this")
            if key.value in found:
                first = self.lines[(*place, key.value)]
                raise InputError(f"{self.where}, line {line}: {key.value!r} stands here again (first in line {first})")
            self.lines[(*place, key.value)] = line
            found[key.value] = self.value(value, (*place, key.value))
        return found
