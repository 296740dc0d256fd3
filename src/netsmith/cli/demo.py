"""``netsmith demo``: the whole job on real handwritten digits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .group import FAILED
from .options import Debug, Json, Seed
from .output import emit_json, out
from .progress import stages
from .verify import verdict_json

if TYPE_CHECKING:
    from ..recipes.demo import DemoResult

STAGES = {
    "train": "train a small ResNet on handwritten digits",
    "shrink": "prune to a quarter of its MACs, and repair",
    "distil": "distil from the original",
    "measure": "measure on test data, and verify",
    "reload": "save, and reload in a fresh process",
}


def demo(
    folder: Annotated[
        Path, typer.Option("--out", help="Folder for the results. An earlier demo there is replaced.", metavar="DIR")
    ] = Path("out/demo"),
    seed: Seed = 0,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Train a small network on digits, shrink it, repair it, distil it, save it and reload it."""
    from ..recipes.demo import run_demo

    with stages(STAGES) as tell:
        result = run_demo(folder, seed=seed, report=lambda now: tell(now.stage, now.done, now.total, now.detail))
    if json:
        _emit(result)
    else:
        _print(result)
    if not (result.verdict.ok and result.reload_bit_equal):
        raise typer.Exit(FAILED)


def _emit(result: DemoResult) -> None:
    from ..reports import steps_json

    emit_json(
        {
            "folder": str(result.folder),
            "steps": steps_json(result.steps),
            "verdict": verdict_json(result.verdict),
            "reload_bit_equal": result.reload_bit_equal,
            "seconds": round(result.seconds, 1),
        }
    )


def _print(result: DemoResult) -> None:
    from ..reports import steps_table

    console = out()
    console.print(steps_table(result.steps, title="scikit-learn's digits; accuracy and macro-F1 on test images"))
    reload = "bit-equal outputs" if result.reload_bit_equal else "DIFFERENT outputs"
    lines = [
        f"verify: {'every promise of the plan holds' if result.verdict.ok else 'FAILED'}",
        *([] if result.verdict.ok else [str(result.verdict)]),
        f"reload in a fresh process: {reload}",
        f"written to {result.folder} in {result.seconds:.0f} s; open {result.folder / 'report.html'} in a browser",
        "",
        "Try next:",
        "  netsmith inspect netsmith.zoo:cifar_resnet --input 1,3,32,32",
        "  netsmith shrink your_file.py:your_function --budget macs=50% --out out/small",
        "  netsmith shrink --help",
    ]
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
