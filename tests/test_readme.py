"""What the README and CONTRIBUTING show works as shown."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from code_blocks import ROOT, code_blocks, run_python


def test_the_python_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = code_blocks("README.md", "python")
    assert len([line for line in block.splitlines() if line.strip()]) <= 12
    monkeypatch.chdir(tmp_path)
    run_python("README.md")
    assert (tmp_path / "out/small/plan.json").is_file()


def test_the_command_line_example(tmp_path: Path) -> None:
    commands = [line for line in code_blocks("README.md", "bash")[1].splitlines() if line]
    assert any(line.startswith("netsmith shrink") for line in commands)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    here = os.fspath(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": here + os.pathsep + os.environ["PATH"]}
    for command in commands:
        done = subprocess.run(shlex.split(command), cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert {"model.safetensors", "plan.json", "card.md", "source.json"} <= {
        file.name for file in (tmp_path / "out/half").iterdir()
    }


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for block in code_blocks("README.md", "bash") + code_blocks("CONTRIBUTING.md", "bash"):
        for target in re.findall(r"^make (\w+)", block, flags=re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), f"make {target} is not in the Makefile"


ALL_DOCS = ("python", "cli", "recipes", "report", "search", "workers", "scores")


@pytest.mark.parametrize("file", ["README.md", "CONTRIBUTING.md", *(f"docs/{name}.md" for name in ALL_DOCS)])
def test_links_lead_somewhere(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[\w-]*)?\)", text):
        if not target.startswith("http"):
            assert ((ROOT / file).parent / target).exists(), f"{file} links to {target}, which is not there"


def test_what_contributing_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_python("CONTRIBUTING.md")


def test_the_picture_shows_the_figures_of_the_summary() -> None:
    path = ROOT / "docs/make_images.py"
    scope = runpy.run_path(os.fspath(path))
    step = {"macs": 6_000_000, "accuracy": 0.9861, "f1": 0.986, "latency_ms": 3.21}
    steps = [step | {"name": "original"}, step | {"name": "prune", "macs": 1_600_000, "accuracy": 0.5}]
    svg = scope["picture"](steps, 64)
    shown = [element.text for element in ElementTree.fromstring(svg).iter() if element.text and element.text.strip()]
    for text in (
        "original",
        "pruned",
        "MACs of 64 images",
        "6 M  (100%)",
        "2 M  (27%)",
        "98.6%",
        "50.0%",
        "0.986",
        "3.2 ms",
    ):
        assert text in shown
