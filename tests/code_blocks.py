"""Code blocks of a Markdown file."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def code_blocks(file: str, language: str) -> list[str]:
    """Every ```language block of a file of the repository, in order."""
    text = (ROOT / file).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def run_python(file: str) -> None:
    """Run all Python blocks of a file as one script; a fault names the block's place in the file."""
    scope: dict[str, object] = {"__name__": "__main__"}
    text = (ROOT / file).read_text(encoding="utf-8")
    for block in code_blocks(file, "python"):
        lines_before = text[: text.index(block)].count("\n")
        exec(compile("\n" * lines_before + block, file, "exec"), scope)  # noqa: S102  our own documentation
