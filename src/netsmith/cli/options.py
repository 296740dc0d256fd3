"""Options that several commands share, and how their text is read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import BudgetError, InputError
from .group import remember_debug
from .output import keep_stdout_for_json

if TYPE_CHECKING:
    from ..plans import Budget

MODEL_HELP = (
    "package.module:function, path/file.py:function (called without arguments; returns the model, or the model and "
    "example inputs), torchvision:NAME, timm:NAME or hf:DIRECTORY"
)

Model = Annotated[str, typer.Argument(help=MODEL_HELP, metavar="MODEL", show_default=False)]
Weights = Annotated[
    str | None,
    typer.Option(help="Weights to load: .safetensors, or a .pt state dict.", metavar="FILE", show_default=False),
]
Input = Annotated[
    str | None,
    typer.Option(
        help="Shape of the example input, batch first, e.g. 1,3,224,224. Default: what the model's source says.",
        metavar="SHAPE",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option(help="Of everything that is drawn at random.", min=0)]
Json = Annotated[
    bool, typer.Option("--json", callback=keep_stdout_for_json, help="Print JSON, and nothing else, on stdout.")
]
Debug = Annotated[bool, typer.Option("--debug", callback=remember_debug, help="On an error, show the traceback.")]


def option(help: str, metavar: str, **more: Any) -> Any:
    """An option without a default to show."""
    return typer.Option(help=help, metavar=metavar, show_default=False, **more)


BUDGET_HELP = (
    "Limit of macs, params, bytes, latency_ms or peak_bytes; 50% or 0.5 is a share of what DIR or MODEL costs. "
    "Can be repeated."
)
EVAL_HELP = "Labelled data to measure accuracy and macro-F1 on. Default: digits:validation with --data digits."
IGNORE_HELP = "Leave the inputs and outputs of modules with such names alone, e.g. 'layer1.*'. Can be repeated."
MEAN_HELP = "Of each channel, for image files whose pixels are in 0..1, e.g. 0.485,0.456,0.406."

Out = Annotated[Path, typer.Option("--out", help="New folder for the result.", metavar="DIR", show_default=False)]
Eval = Annotated[str | None, typer.Option("--eval", help=EVAL_HELP, metavar="DATA", show_default=False)]
Ignore = Annotated[list[str] | None, option(IGNORE_HELP, "PATTERN")]
Mean = Annotated[str | None, option(MEAN_HELP, "NUMBERS")]
Std = Annotated[str | None, option("Of each channel, as for --mean.", "NUMBERS")]

BUDGET_KEYS = ("macs", "params", "bytes", "latency_ms", "peak_bytes")


def parse_shape(text: str | None) -> tuple[int, ...] | None:
    """``"1,3,224,224"`` or ``"1x3x224x224"`` -> (1, 3, 224, 224).

    Raises:
        InputError: no such list of positive whole numbers.
    """
    if text is None:
        return None
    pieces = [piece.strip() for piece in re.split("[,x]", text)]
    if not all(piece.isdecimal() and int(piece) > 0 for piece in pieces):
        raise InputError(
            f"--input {text!r} is no shape; write whole numbers ≥ 1, batch first, e.g. --input 1,3,224,224"
        )
    return tuple(int(piece) for piece in pieces)


def parse_budget(texts: list[str]) -> Budget:
    """``["macs=50%", "latency_ms=3"]`` -> Budget(macs="50%", latency_ms="3").

    Raises:
        BudgetError: not NAME=VALUE, a name that is no cost, a name given twice, or a value that is no limit.
    """
    from ..plans import Budget

    limits: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key not in BUDGET_KEYS:
            raise BudgetError(
                f"--budget {text!r}: write NAME=VALUE with NAME one of {', '.join(BUDGET_KEYS)}; e.g. macs=50%"
            )
        if key in limits:
            raise BudgetError(f"--budget {key} is given twice ({limits[key]} and {value}); give it once")
        limits[key] = value
    return Budget(**limits)
