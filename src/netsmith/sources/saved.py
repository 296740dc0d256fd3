"""``source.json``: beside a saved model, how its original was built, so that ``netsmith verify`` can build it again."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..errors import FileError
from .models import ModelSource

SOURCE = "source.json"
VERSION = 1


def source_text(source: ModelSource, digest: str) -> str:
    """What ``source.json`` says; ``digest`` is that of the original's weights (``models.state_digest``)."""
    return json.dumps({"version": VERSION, **asdict(source), "original_sha256": digest}, indent=2) + "\n"


def read_source(folder: Path, *, model: str | None, weights: str | None) -> tuple[ModelSource, str]:
    """How the original was built, and the digest of its weights.

    Args:
        folder: what ``netsmith shrink`` wrote.
        model, weights: from the command line; they go before what the file says.

    Raises:
        FileError: no such file, or not one that ``netsmith shrink`` wrote; or it names code of its own, which runs
            only if the user says so: folders from strangers must not run code.
    """
    path = folder / SOURCE
    if not folder.is_dir():
        raise FileError(f"there is no folder {str(folder)!r}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileError(f"{folder} has no {SOURCE}; give a folder that `netsmith shrink` wrote") from None
    except (OSError, ValueError) as error:
        raise FileError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise FileError(f"{path} is no {SOURCE} of version {VERSION}")
    source = checked_source(content, path)
    _refuse([] if isinstance(content.get("original_sha256"), str) else ["original_sha256"], path)
    if model is None and not is_harmless(source.model):
        raise FileError(
            f"{folder} was made from {source.model}, and to verify it that code has to run.\n"
            f"If you trust it:  netsmith verify {folder} --model {source.model}"
        )
    chosen = replace(source, model=model or source.model, weights=weights or source.weights)
    return chosen, content["original_sha256"]


def is_harmless(model: str) -> bool:
    """Names that reach no code but installed libraries' model definitions."""
    kind, _, name = model.partition(":")
    if kind == "netsmith.zoo":
        from .. import zoo

        return name in zoo.__all__
    return kind in ("torchvision", "timm", "hf")


def checked_source(content: dict[str, Any], path: Path) -> ModelSource:
    """The fields of a ModelSource, or a FileError that says which is wrong."""
    shape = content.get("input")
    right = {
        "model": isinstance(content.get("model"), str),
        "weights": isinstance(content.get("weights"), str | None),
        "input": shape is None or (isinstance(shape, list) and all(type(n) is int and n > 0 for n in shape)),
        "seed": type(content.get("seed")) is int,
    }
    _refuse([name for name, fine in right.items() if not fine], path)
    fields = {key: content[key] for key in ("model", "weights", "seed")}
    return ModelSource(**fields, input=None if shape is None else tuple(shape))


def _refuse(wrong: list[str], path: Path) -> None:
    if wrong:
        raise FileError(f"{path}: {', '.join(wrong)} missing or of the wrong type; was the file changed by hand?")
