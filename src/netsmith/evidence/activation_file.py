"""Activations in a safetensors file, so that one pass over the data serves many plans. No pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..errors import EvidenceError, FileError
from ..wiring import Wiring
from .activations import Activations, LayerInputs, identity
from .batches import device_of

_KEY, _VERSION = "netsmith", 1
_TENSORS = ("mean", "square", "gram", "gain")


def save_activations(activations: Activations, path: str | Path) -> None:
    """Write activations to a new or existing file.

    Raises:
        FileError: it cannot be written.
    """
    tensors: dict[str, torch.Tensor] = {}
    layers: dict[str, dict[str, Any]] = {}
    for weight, layer in activations.layers.items():
        layers[weight] = {"name": layer.name, "rows": layer.rows, "free": layer.free}
        for part in _TENSORS:
            tensor = getattr(layer, part)
            if tensor is not None:
                tensors[f"{weight}|{part}"] = tensor.cpu().contiguous().clone()
    about = {"version": _VERSION, "model": activations.model, "layers": layers}
    try:
        save_file(tensors, path, metadata={_KEY: json.dumps(about)})
    except (SafetensorError, OSError) as error:
        raise FileError(f"{path}: cannot be written ({error}). Give another path.") from error


def load_activations(path: str | Path, wiring: Wiring) -> Activations:
    """Read activations that were gathered on this very model, structure and weights.

    Returns:
        The activations, on the model's device.

    Raises:
        FileError: no complete file of activations.
        EvidenceError: they belong to another model, or to other weights of it.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            about = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (the file is no dict)
        if about["version"] != _VERSION:
            raise FileError(f"{path}: activations of version {about['version']}; this netsmith reads {_VERSION}")
        device = device_of(wiring.model)
        layers = {
            weight: LayerInputs(
                name=str(layer["name"]),
                rows=int(layer["rows"]),
                free=bool(layer["free"]),
                gram=tensors[gram].to(device) if (gram := f"{weight}|gram") in tensors else None,
                **{part: tensors[f"{weight}|{part}"].to(device) for part in _TENSORS if part != "gram"},
            )
            for weight, layer in about["layers"].items()
        }
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileError(f"{path}: no complete file of activations ({type(error).__name__}: {error})") from error
    if about["model"] != identity(wiring):
        raise EvidenceError(
            f"{path}: gathered on another model, or on other weights of it; gather them again with "
            "netsmith.evidence.activations(wiring, data)"
        )
    return Activations(layers, str(about["model"]))
