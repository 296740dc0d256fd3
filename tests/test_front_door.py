"""``import netsmith``: its names, what they say, and that importing is quick."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import netsmith
from code_blocks import ROOT, run_python

NAMES = """
Budget Cost NetsmithError Plan Result Study Verdict Wiring apply cut load measure plan_cut plan_removal save scores
search shrink trace verify
""".split()
FUNCTIONS = [name for name in NAMES if name.islower() and name != "scores"]


def test_exactly_these_names() -> None:
    assert sorted(netsmith.__all__) == sorted(NAMES)
    assert set(dir(netsmith)) == {*NAMES, "__version__"}


@pytest.mark.parametrize("name", NAMES)
def test_every_name_resolves_and_has_a_docstring(name: str) -> None:
    assert (getattr(netsmith, name).__doc__ or "").strip()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_an_example_and_says_what_it_raises(name: str) -> None:
    doc = getattr(netsmith, name).__doc__
    assert "Example:" in doc
    assert "Raises:" in doc
    assert "Args:" in doc


@pytest.mark.parametrize("name", NAMES)
def test_every_name_stands_in_the_docs(name: str) -> None:
    assert f"\n## `{name}`\n" in (ROOT / "docs/python.md").read_text(encoding="utf-8")


def test_the_docs_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_python("docs/python.md")


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'netsmith' has no attribute 'prune'"):
        netsmith.prune  # noqa: B018


def test_importing_loads_nothing_heavy() -> None:
    heavy = "('torch', 'transformers', 'sklearn')"
    code = f"import sys; from netsmith.cli import app; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""
