"""Small checkpoint folders for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor


def tensors(seed: int | None, *, layers: int = 3, dtype: torch.dtype = torch.bfloat16) -> dict[str, Tensor]:
    """Those of a base (seed None), or of a model moved a little from it."""
    shapes = {"model.embed_tokens.weight": (20, 8), "model.norm.weight": (8,), "lm_head.weight": (20, 8)}
    shapes |= {f"model.layers.{i}.mlp.weight": (12, 8) for i in range(layers)}
    shapes |= {f"model.layers.{i}.norm.weight": (8,) for i in range(layers)}
    found = {}
    for number, (name, shape) in enumerate(sorted(shapes.items())):
        value = torch.randn(shape, generator=torch.Generator().manual_seed(number))
        if seed is not None:
            value += 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(100 * seed + number + 50))
        found[name] = value.to(dtype)
    return found


def write(folder: Path, content: Mapping[str, Tensor], *, shards: int = 2, **config: object) -> str:
    """A checkpoint folder; returns its path as text."""
    folder.mkdir(parents=True)
    names = sorted(content)
    places = {}
    for number in range(shards):
        own = names[number::shards]
        file = f"model-{number + 1:05d}-of-{shards:05d}.safetensors" if shards > 1 else "model.safetensors"
        save_file({name: content[name] for name in own}, folder / file)
        places |= {name: file for name in own}
    if shards > 1:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    layers = len({n.split(".")[2] for n in names if ".layers." in n})
    (folder / "config.json").write_text(json.dumps({"num_hidden_layers": layers, **config}))
    (folder / "tokenizer.json").write_text("{}")
    return str(folder)


def read(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder."""
    found: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= load_file(file)
    return found
