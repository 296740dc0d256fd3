"""Inputs for one call of any transformers model, from the signature of its forward and its configuration."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

_LENGTH = 16


def example_inputs(model: Any) -> dict[str, torch.Tensor]:
    """Keyword arguments with which a plain forward runs.

    Raises:
        RuntimeError: none of the candidates does; with the first candidate's error.
    """
    first: Exception | None = None
    for inputs in candidates(model):
        try:
            with torch.no_grad():
                model(**inputs)
            return inputs
        except Exception as error:
            first = first or error
    raise RuntimeError(f"no inputs found: {type(first).__name__}: {str(first).strip().splitlines()[:1]}")


def candidates(model: nn.Module) -> Iterator[dict[str, torch.Tensor]]:
    """All inputs that the signature names first (text and image), then the main one alone."""
    names = inspect.signature(model.forward).parameters
    config: Any = model.config
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(60, 100, (2, _LENGTH), generator=generator)
    main = getattr(model, "main_input_name", "input_ids")
    text = {"input_ids": ids} if "input_ids" in names else {}
    if "decoder_input_ids" in names:
        text["decoder_input_ids"] = torch.randint(60, 100, (2, 8), generator=generator)
    if "bbox" in names:
        text["bbox"] = torch.randint(0, 100, (2, _LENGTH, 4), generator=generator).sort(-1).values
    floats = [n for n in ("pixel_values", "pixel_values_videos", "input_values", "input_features") if n in names]
    if main in names and main not in floats and main not in text:
        floats.insert(0, main)
    for name in sorted(floats, key=lambda n: n != main):
        for shape in _shapes(name, config):
            value = torch.randn(*shape, generator=generator)
            if text:
                yield {**text, name: value}
            if "pixel_mask" in names:
                yield {name: value, "pixel_mask": torch.ones(2, *shape[-2:], dtype=torch.long)}
            decoder = {k: v for k, v in text.items() if k.startswith("decoder")}
            yield {**decoder, name: value}
    if text:
        yield text
        yield {name: value for name, value in text.items() if name == "input_ids"}


def _shapes(name: str, config: Any) -> Iterator[tuple[int, ...]]:
    if "pixel" in name or "image" in name:
        channels = _find(config, ("num_channels", "in_channels", "in_chans", "num_input_channels"), 3)
        sizes = [_find(config, ("image_size", "img_size", "input_size"), 64), 64, 224]
        frames = _find(config, ("num_frames", "video_length", "num_image_with_embedding"), 4)
        for size in dict.fromkeys(tuple(s) if isinstance(s, (list, tuple)) else (s, s) for s in sizes):
            if "video" in name or "video" in config.model_type:
                yield (2, frames, channels, *size[-2:])
            yield (2, channels, *size[-2:])
            yield (2, frames, channels, *size[-2:])
            yield (2, channels, frames, *size[-2:])
        return
    bins = _find(config, ("num_mel_bins", "n_mels", "feature_size", "input_feat_per_channel", "input_dim"), 80)
    steps = _find(config, ("max_source_positions", "max_length"), 64)
    if name == "input_values":
        yield (2, 4000)
        yield (2, 1, 4000)
        yield (2, steps, bins)
    else:
        yield (2, bins, 2 * steps)
        yield (2, 64, bins)
        yield (2, bins, 64)
        yield (2, 4000)


def _find(config: Any, names: tuple[str, ...], default: Any) -> Any:
    """The first of these settings in a configuration or, failing that, in one of its parts."""
    for name in names:
        value = getattr(config, name, None)
        if isinstance(value, int) or (isinstance(value, (list, tuple)) and len(value) == 2):
            return value
    for part in getattr(config, "sub_configs", {}):
        found = getattr(config, part, None)
        if found is not None and (value := _find(found, names, None)) is not None:
            return value
    return default
