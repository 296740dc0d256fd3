"""What a step's result depends on, as one number: the same key, the same result.

A key is made of the version, the original's structure and weights, the seed, the step's options, what its data looks
like from outside, and the key of the step before. Code is seen as far as it stands in a file that the recipe names;
what that file imports is not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..sources.models import OpenModel
from ..wiring import fingerprint
from .reading import ORIGINAL, NamedStep, Recipe
from .schema import Ensemble, Evaluate
from .schema_base import Data
from .schema_training import Distil

_NOT_DECIDING = ("checkpoint_every", "workers", "ray")  # how it is done, not what comes of it


def keys_of(recipe: Recipe, opened: OpenModel, digest: str) -> dict[str, str]:
    """Name of a step -> its key; "original" -> that of the model itself, measured on ``eval``.

    Args:
        recipe: that was read.
        opened: the original.
        digest: of its weights (``state_digest``).
    """
    head = recipe.head
    measured = [data_print(recipe.eval), head.metric, code_print(head.metric)]
    model = [fingerprint(opened.model), digest, _inputs_print(opened.example_inputs)]
    keys = {ORIGINAL: _digest(__version__, str(torch.__version__), model, head.seed, measured)}
    for step in recipe.steps:
        asked = {k: v for k, v in step.options.asked().items() if k not in _NOT_DECIDING}
        parts = [step.kind, asked, data_print(recipe.data_of(step.options)), _code_named_in(asked)]
        keys[step.name] = _digest(keys[step.source], parts, [keys.get(n, n) for n in _others(recipe, step)])
    return keys


def data_print(data: Data | None) -> Any:
    """What can be seen of data without reading it: names, sizes and times of files; of code its text."""
    if data is None:
        return None
    kind, _, rest = data.name.partition(":")
    asked = data.model_dump(mode="json")
    if kind in ("imagefolder", "parquet"):
        return [asked, _files(Path(rest))]
    return [asked, code_print(data.name)]


def code_print(address: str) -> str | None:
    """The digest of ``path/file.py`` in ``path/file.py:function``; None where no file is named, or none is there."""
    file = Path(address.rpartition(":")[0])
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.suffix == ".py" and file.is_file() else None


def _code_named_in(asked: Mapping[str, Any]) -> list[str | None]:
    return [code_print(value) for value in asked.values() if isinstance(value, str) and ":" in value]


def _others(recipe: Recipe, step: NamedStep) -> Iterable[str]:
    """Earlier steps that a step reads besides the one that it starts from; weights of other models; and other data."""
    if isinstance(step.options, Ensemble):
        return [*step.options.members, *(str(_files(Path(m.rpartition("@")[2]))) for m in step.options.members)]
    if isinstance(step.options, Distil):
        teacher = recipe.teacher_of(step)
        return [teacher, str(_files(Path(teacher.rpartition("@")[2])))]
    if isinstance(step.options, Evaluate) and step.options.int8:
        return [str(data_print(recipe.head.data))]
    return []


def _files(path: Path) -> list[tuple[str, int, int]]:
    """(name, bytes, nanoseconds of the last change) of a file, or of every file in a folder."""
    found = sorted(path.rglob("*")) if path.is_dir() else [path] if path.is_file() else []
    stats = [(str(file), file.stat()) for file in found if file.is_file()]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


def _inputs_print(inputs: Any) -> Any:
    if isinstance(inputs, torch.Tensor):
        digest = hashlib.sha256(inputs.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return [list(inputs.shape), str(inputs.dtype), digest.hexdigest()]
    if isinstance(inputs, Mapping):
        return {str(key): _inputs_print(value) for key, value in inputs.items()}
    return [_inputs_print(value) for value in inputs] if isinstance(inputs, tuple | list) else repr(inputs)


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
