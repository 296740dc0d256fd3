"""What a merged checkpoint has beside its weights: config, tokenizer, and what the models disagree on there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ModelError
from .checkpoint_folder import CheckpointFolder
from .layer_names import layer_names
from .merge_plan import MergedTensor
from .merge_recipe import MergeRecipe

_TOKENIZER = (
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "*.model",
    "*.jinja",
)
_OTHER = ("generation_config.json", "preprocessor_config.json", "processor_config.json")
_NO_MATTER = {"_name_or_path", "transformers_version", "torch_dtype", "dtype", "use_cache", "architectures"}
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")


def _tokenizer_files(folder: Path) -> dict[str, Path]:
    if folder.is_file():
        return {}
    return {f.name: f for pattern in _TOKENIZER for f in sorted(folder.glob(pattern)) if f.is_file()}


def copied_files(
    recipe: MergeRecipe, checkpoints: Mapping[str, CheckpointFolder], donor: CheckpointFolder
) -> Sequence[Path]:
    """Files that the result gets as they are: the tokenizer's, and the donor's settings for generating.

    Raises:
        ModelError: ``tokenizer_source: union`` of tokenizers that differ.
    """
    source = donor
    if recipe.tokenizer_from == "union":
        if _differing_tokenizers(checkpoints, donor):
            raise ModelError(
                "tokenizer_source: union needs tokenizers that are the same, and these differ; choose one with "
                "tokenizer_source: base, or a model's folder"
            )
    elif recipe.tokenizer_from != "base":
        source = checkpoints[recipe.tokenizer_from]
    other = [] if donor.path.is_file() else [f for name in _OTHER if (f := donor.path / name).is_file()]
    return [*_tokenizer_files(source.path).values(), *other]


def _differing_tokenizers(checkpoints: Mapping[str, CheckpointFolder], donor: CheckpointFolder) -> dict[str, list[str]]:
    """Model -> names of its tokenizer files that are not the donor's."""
    own = _tokenizer_files(donor.path)
    found = {}
    for model, checkpoint in checkpoints.items():
        theirs = _tokenizer_files(checkpoint.path)
        differing = [n for n, f in theirs.items() if n not in own or f.read_bytes() != own[n].read_bytes()]
        if differing:
            found[model] = differing
    return found


def disagreements(recipe: MergeRecipe, checkpoints: Mapping[str, CheckpointFolder]) -> tuple[str, ...]:
    """What differs between the models beside their weights, and whose version the result gets."""
    donor_name = recipe.base_model or next(iter(checkpoints))
    donor = checkpoints[donor_name]
    notes = []
    for model, checkpoint in checkpoints.items():
        for key in sorted((donor.config.keys() | checkpoint.config.keys()) - _NO_MATTER):
            ours, theirs = donor.config.get(key), checkpoint.config.get(key)
            if ours != theirs and checkpoint.config and donor.config:
                notes.append(f"config.json: {key} is {_short(theirs)} in {model}; kept {_short(ours)} of {donor_name}")
    whose = donor_name if recipe.tokenizer_from in ("base", "union") else recipe.tokenizer_from
    for model, names in _differing_tokenizers(checkpoints, checkpoints[whose]).items():
        notes.append(f"tokenizer: {', '.join(names)} of {model} differ; kept those of {whose}")
    integers = [n for n, s in donor.tensors.items() if not s.dtype.is_floating_point]
    if integers:
        notes.append(f"{len(integers)} integer tensors are taken from the first model, e.g. {integers[0]}")
    return tuple(notes)


def config_text(recipe: MergeRecipe, donor: CheckpointFolder, plan: Sequence[MergedTensor]) -> str:
    """The donor's config.json with the result's number of layers and dtype."""
    config: dict[str, Any] = json.loads(json.dumps(donor.config))
    before, after = layer_names(donor.tensors).count, layer_names(t.name for t in plan).count
    if after != before:
        for key in _LAYERS:
            if config.get(key) == before:
                config[key] = after
        order = [
            first + offset
            for piece in recipe.slices or []
            for first, last in [piece.sources[0].layer_range]
            for offset in range(last - first)
        ]
        for key, value in config.items():
            if isinstance(value, list) and len(value) == before and len(order) == after:
                config[key] = [value[layer] for layer in order]
    for key in ("torch_dtype", "dtype"):
        if key in config and (recipe.out_dtype or recipe.dtype):
            config[key] = recipe.out_dtype or recipe.dtype
    return json.dumps(config, indent=2) + "\n"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
