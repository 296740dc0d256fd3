"""What to merge and how, as mergekit writes it: read from YAML, checked field by field."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import FileError, InputError
from .merge_methods import METHODS
from .merge_settings import Setting

Parameters = dict[str, Setting]
DType = Literal["float32", "float16", "bfloat16", "float64"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class InputModel(_Strict):
    """One model and its parameters."""

    model: str
    parameters: Parameters = Field(default_factory=dict)


class SliceSource(_Strict):
    """Layers of one model: ``layer_range[0]`` to ``layer_range[1]``, exclusive."""

    model: str
    layer_range: list[int] = Field(min_length=2, max_length=2)
    parameters: Parameters = Field(default_factory=dict)

    @model_validator(mode="after")
    def _ascending(self) -> SliceSource:
        if not 0 <= self.layer_range[0] < self.layer_range[1]:
            raise ValueError(f"layer_range is [first, last + 1] with 0 <= first < last + 1, not {self.layer_range}")
        return self


class OutputSlice(_Strict):
    """Layers of the result: the same number from every source, merged."""

    sources: list[SliceSource] = Field(min_length=1)
    base_model: str | None = None
    parameters: Parameters = Field(default_factory=dict)

    @model_validator(mode="after")
    def _same_lengths(self) -> OutputSlice:
        if len({s.layer_range[1] - s.layer_range[0] for s in self.sources}) > 1:
            raise ValueError("all sources of a slice must have the same number of layers")
        return self


class Tokenizer(_Strict):
    """Whose tokenizer the result gets."""

    source: str = "base"


class MergeRecipe(_Strict):
    """A merge. Fields are mergekit's; ``seed`` is netsmith's, for methods that drop differences at random."""

    merge_method: str
    models: list[InputModel] | None = Field(default=None, min_length=1)
    slices: list[OutputSlice] | None = Field(default=None, min_length=1)
    base_model: str | None = None
    parameters: Parameters = Field(default_factory=dict)
    dtype: DType | None = None
    out_dtype: DType | None = None
    tokenizer_source: str | None = None
    tokenizer: Tokenizer | None = None
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> MergeRecipe:
        if self.merge_method not in METHODS:
            raise ValueError(f"merge_method {self.merge_method!r} is unknown; there are {', '.join(METHODS)}")
        if (self.models is None) == (self.slices is None):
            raise ValueError("give either models or slices")
        if METHODS[self.merge_method].base and self.base_model is None:
            if self.slices is None or any(s.base_model is None for s in self.slices):
                raise ValueError(f"{self.merge_method} needs a base_model")
        if self.tokenizer_source is not None and self.tokenizer is not None:
            raise ValueError("give either tokenizer_source or tokenizer")
        known = {*METHODS[self.merge_method].shared, *METHODS[self.merge_method].each}
        named = [self.parameters, *(m.parameters for m in self.models or [])]
        for piece in self.slices or []:
            named += [piece.parameters, *(s.parameters for s in piece.sources)]
        unknown = sorted({name for parameters in named for name in parameters} - known)
        if unknown:
            has = f"it has {', '.join(sorted(known))}" if known else "it has none"
            raise ValueError(f"{self.merge_method} has no parameter {', '.join(unknown)}; {has}")
        return self

    @property
    def tokenizer_from(self) -> str:
        """A model, "base" or "union"."""
        return self.tokenizer_source or (self.tokenizer.source if self.tokenizer else "base")


def read_recipe(recipe: MergeRecipe | Mapping[str, Any] | str | os.PathLike[str]) -> MergeRecipe:
    """A recipe from a YAML file or from the mapping that it would hold.

    Raises:
        InputError: a field that is unknown, missing or wrong; the message names each and what it may be.
        FileError: the file cannot be read, or is no YAML.
    """
    if isinstance(recipe, MergeRecipe):
        return recipe
    where = "recipe"
    if not isinstance(recipe, Mapping):
        where = str(recipe)
        recipe = _yaml(Path(recipe))
    try:
        return MergeRecipe.model_validate(dict(recipe))
    except ValidationError as error:
        raise InputError(f"{where} is no recipe for a merge:\n" + "\n".join(_faults(error))) from None


def _yaml(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: cannot be read ({error})") from error
    except yaml.YAMLError as error:
        raise FileError(f"{path}: is no YAML: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(f"{path}: a recipe is a mapping with merge_method and models or slices")
    return content


def _faults(error: ValidationError) -> list[str]:
    """One line a field; alternatives of a union that were not meant are left out."""
    lines: dict[str, str] = {}
    for fault in error.errors():
        places = [f"[{p}]" if isinstance(p, int) else f".{p}" for p in fault["loc"]]
        if "parameters" in fault["loc"]:  # behind the parameter's name pydantic lists each type that it could be
            cut = fault["loc"].index("parameters") + 2
            where, what = "".join(places[:cut]), "a number, a list of numbers, or a list of {filter, value}"
        else:
            where, what = "".join(places), fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden" and "parameters" not in fault["loc"]:
            what = f"is no field of a recipe; there are {', '.join(MergeRecipe.model_fields)}"
            if len(fault["loc"]) > 1:
                what = "is no field here"
        lines.setdefault(where, f"  {where.removeprefix('.')}: {what}" if where else f"  {what}")
    return list(lines.values())
