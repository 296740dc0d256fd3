"""YAML with the line of everything, and without what can hurt."""

from __future__ import annotations

from pathlib import Path

import pytest

from netsmith.errors import FileError, InputError
from netsmith.recipes.yaml_file import MAX_BYTES, parse_yaml, read_yaml


def test_values_and_their_lines() -> None:
    read = parse_yaml("model: a:b\n# note\nsteps:\n  - cut:\n      blocks: 2\n  - {merge: null}\n", "r.yaml")
    assert read.content == {"model": "a:b", "steps": [{"cut": {"blocks": 2}}, {"merge": None}]}
    assert read.line_of(("steps", 0, "cut", "blocks")) == 5
    assert read.line_of(("steps", 1, "merge", "pairs", "int")) == 6  # the nearest around it
    assert read.at(("steps",)) == "r.yaml, line 3"
    assert parse_yaml("when: 2026-01-01\nshare: 50%", "r").content == {"when": "2026-01-01", "share": "50%"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x [1]\nb: *x", r"r.yaml, line 1: anchors and aliases"),
        ("a: &a [l, l]\nb: &b [*a, *a]\nc: [*b, *b]", "line 1: anchors and aliases"),  # the bomb
        ("a: 1\nb: 2\na: 3", r"line 3: 'a' stands here again \(first in line 1\)"),
        ("a:\n  - {b: 1, b: 2}", "line 2: 'b' stands here again"),
        ("a: 1\nb: !!python/object/apply:os.system [ls]", "line 2: tag:yaml.org,2002:python.* is not read"),
        ("!mine {a: 1}", "line 1: !mine is not read"),
        ("a: !!binary aGVsbG8=", "binary is not read"),
        ("<<: {a: 1}", "line 1: '<<' is no name"),
        ("no: 3", "line 1: 'no' is no name; put quotes"),
        ("a: 1\n? [1, 2]\n: 3", "line 2: this is no name"),
        ("a: [1,\nb", r"line \d: this is no YAML"),
        ("a:\n  - b\n  c: 3", "line 3: this is no YAML"),
        ("a: 1\n---\nb: 2", "line 2: a second document"),
        ("[" * 50 + "]" * 50, "nested more than 20 deep"),
        ("a: " + "{b: " * 100_000, "nested more than 20 deep"),
        ("a: " + "9" * 5000, "line 1: "),
        ("a: \x00", "this is no YAML"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_yaml(text, "r.yaml")


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be read"):
        read_yaml(tmp_path / "absent.yaml")
    with pytest.raises(FileError, match="cannot be read"):
        read_yaml(tmp_path)
    (tmp_path / "bytes.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(FileError, match="no text in UTF-8"):
        read_yaml(tmp_path / "bytes.yaml")
    (tmp_path / "long.yaml").write_text("# " + "x" * MAX_BYTES)
    with pytest.raises(FileError, match="larger than 262,144 bytes"):
        read_yaml(tmp_path / "long.yaml")
    (tmp_path / "mark.yaml").write_text("a: 1", encoding="utf-8-sig")
    assert read_yaml(tmp_path / "mark.yaml").content == {"a": 1}
