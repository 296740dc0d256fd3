"""``init_recipe``: the shipped recipe that suits a model, filled in for it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from ..errors import FileError
from ..sources.datasets import validation_of
from ..sources.models import ModelSource, open_model
from .reading import read_text
from .suiting import Suiting, suiting

_DATA = {  # what to put there, for the reader of the recipe to replace
    "cnn_classifier": ("imagefolder:PATH/train", "imagefolder:PATH/validation"),
    "vit": ("imagefolder:PATH/train", "imagefolder:PATH/validation"),
    "bert_encoder": ("PATH/data.py:train", "PATH/data.py:validation"),
    "small_llm": ("PATH/data.py:train", "PATH/data.py:validation"),
    "speech": ("parquet:PATH/train.parquet", "parquet:PATH/validation.parquet"),
}


@dataclass(frozen=True)
class Written:
    """A recipe for a model.

    Attributes:
        text: YAML with comments.
        suits: what was found of the model.
        open: lines, from 1, where the user has to put data.
    """

    text: str
    suits: Suiting
    open: tuple[int, ...]


def init_recipe(
    source: ModelSource,
    *,
    data: str | None = None,
    eval: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    kind: str | None = None,
) -> Written:
    """Write a recipe for a model.

    Args:
        source: the model, as on the command line.
        data, eval: names of data; where None, the recipe has a place to put them.
        mean, std: of pixels, one number a channel.
        kind: of the recipe; None: the one that suits what the model is given and how it is wired.

    Raises:
        NetsmithError: the model cannot be opened or read, or there is no such kind.

    Example:
        >>> print(init_recipe(ModelSource("torchvision:resnet18"), data="imagefolder:photos").text)  # doctest: +SKIP
    """
    opened = open_model(source)
    suits = suiting(opened.model, opened.example_inputs, kind)
    text = files(__package__).joinpath("shipped", f"{suits.kind}.yaml").read_text(encoding="utf-8")
    place, eval_place = _DATA[suits.kind]
    eval = eval or (validation_of(data) if data else eval_place)
    values = {
        "model": _plain(source.model),
        "weights": None if source.weights is None else _plain(source.weights),
        "input": None if source.input is None else ",".join(map(str, source.input)),
        "data": _data(data or place, mean, std),
        "eval": None if eval is None or suits.metric is None else _data(eval, mean, std),
        "metric": suits.metric,
        "seed": str(source.seed),
        "blocks": str(suits.blocks) if suits.blocks else None,
        "macs": None if suits.macs is None else str(suits.macs),
    }
    if suits.metric is None:  # outputs that are no scores cannot be learnt
        text = re.sub(r"(?m)^  #[^\n]*\n  - distil:[^\n]*\n\n", "", text)
    text = _filled(text, values)
    read_text(text, "the recipe")
    open_lines = tuple(n for n, line in enumerate(text.splitlines(), start=1) if "PATH/" in line)
    return Written(text, suits, open_lines)


def write_new(path: str | os.PathLike[str], text: str) -> None:
    """Write a file that is not there yet.

    Raises:
        FileError: it is there, or cannot be written.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with Path(path).open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise FileError(f"{path} is there already, and nothing is overwritten; give another name") from None
    except OSError as error:
        raise FileError(f"{path} cannot be written ({error.strerror}); give another place") from error


def _filled(text: str, values: dict[str, str | None]) -> str:
    """The template with its values; a line, or a step with its comment, for which there is none goes."""
    for name, value in values.items():
        if value is None:
            text = re.sub(rf"(?m)^(?:  #[^\n]*\n)?[^\n#]*\${name}\b[^\n]*\n(?:(?<=\}}\n)\n)?", "", text)
    return Template(text).substitute({name: value for name, value in values.items() if value is not None})


def _data(name: str, mean: Sequence[float] | None, std: Sequence[float] | None) -> str:
    more = [f"{key}: {list(value)}" for key, value in (("mean", mean), ("std", std)) if value is not None]
    return f"{{{', '.join([f'name: {_plain(name)}', *more])}}}" if more else _plain(name)


def _plain(text: str) -> str:
    """Text as YAML reads it back: in quotes where it could be read as something else."""
    return text if re.fullmatch(r"[A-Za-z_./][\w./:@-]*[\w]", text) and ": " not in text else json.dumps(text)
