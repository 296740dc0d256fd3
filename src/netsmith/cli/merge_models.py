"""``netsmith merge-models``: checkpoints and a recipe -> one checkpoint."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .options import Debug, Json
from .output import emit_json, note, out
from .progress import stages

RECIPE_HELP = "YAML: merge_method, models or slices, base_model, parameters, dtype, as mergekit has them."
SHARD_HELP = "Largest file of the result, e.g. 500MB."
_UNITS = {"KB": 1e3, "MB": 1e6, "GB": 1e9}


def merge_models(
    recipe: Annotated[Path, typer.Argument(help=RECIPE_HELP, metavar="RECIPE", show_default=False)],
    out_dir: Annotated[
        Path, typer.Option("--out", help="New folder for the result.", metavar="DIR", show_default=False)
    ],
    shard_size: Annotated[str, typer.Option(help=SHARD_HELP, metavar="SIZE")] = "5GB",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Merge checkpoints by a recipe, tensor by tensor, in little memory; an interrupted run goes on."""
    limit = parse_size(shard_size)
    from ..combining import merge_checkpoints

    with stages({"merge": "merging"}) as tell:
        result = merge_checkpoints(
            recipe, out_dir, shard_bytes=limit, progress=lambda done, total, name: tell("merge", done, total, name)
        )
    if json:
        content = {
            "folder": str(result.folder),
            "tensors": result.tensors,
            "bytes": result.bytes,
            "shards": list(result.shards),
            "kept": list(result.kept),
            "notes": list(result.notes),
        }
        emit_json(content)
        return
    for text in result.notes:
        note(text)
    size = f"{result.tensors} tensors, {result.bytes:,} bytes, {len(result.shards)} files"
    kept = f" ({len(result.kept)} of them kept from an interrupted run)" if result.kept else ""
    out().print(f"Merged into {result.folder}: {size}{kept}", markup=False, soft_wrap=True)


def parse_size(text: str) -> int:
    """``"500MB"`` -> 500,000,000 bytes.

    Raises:
        InputError: no number with KB, MB or GB.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]B)", text.strip(), flags=re.IGNORECASE)
    if not match or float(match[1]) <= 0:
        raise InputError(f"--shard-size {text!r}: write a number with KB, MB or GB, e.g. 500MB")
    return int(float(match[1]) * _UNITS[match[2].upper()])
