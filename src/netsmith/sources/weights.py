"""Weights: tensors from a file into a model, or one message that lists every key that does not fit."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FileError

if TYPE_CHECKING:
    from torch import Tensor, nn

LISTED = 8


def load_weights(model: nn.Module, file: str | Path) -> None:
    """Load a state dict into the model, in place.

    Args:
        model: as its constructor made it.
        file: ``.safetensors``; anything else is read as ``torch.save(model.state_dict(), file)`` wrote it, and as
            nothing but tensors (``weights_only=True``). A state dict under the key ``state_dict`` or ``model``, and
            the prefix ``module.`` of DataParallel, are found.

    Raises:
        FileError: missing or damaged file, no state dict in it, or keys or shapes that differ; nothing was loaded.
    """
    state, own = read_state(Path(file)), model.state_dict()
    if state and all(key.startswith("module.") for key in state) and not any(k.startswith("module.") for k in own):
        state = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    missing = _without_shared(model, own, state)
    unexpected = [key for key in state if key not in own]
    shapes = [
        f"{key}: {tuple(tensor.shape)} in the file, {tuple(own[key].shape)} in the model"
        for key, tensor in state.items()
        if key in own and tensor.shape != own[key].shape
    ]
    if missing or unexpected or shapes:
        faults = [
            _listing("missing in the file", missing),
            _listing("not in the model", unexpected),
            _listing("other shape", shapes),
        ]
        raise FileError(f"{file} does not fit the model:\n" + "\n".join(filter(None, faults)))
    model.load_state_dict(state, strict=False)


def read_state(file: Path) -> dict[str, Tensor]:
    """The state dict in a file, on the CPU."""
    import torch

    if not file.is_file():
        raise FileError(f"there is no weights file {str(file)!r}")
    if file.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(file)
        except (SafetensorError, OSError) as error:
            raise FileError(f"{file} is no whole safetensors file: {error}") from error
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise FileError(
            f"{file} holds more than tensors, so it is not opened: it could run code. "
            "Save the state dict alone: torch.save(model.state_dict(), file)"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        raise FileError(f"{file} cannot be read: {str(error).splitlines()[0] if str(error) else error!r}") from error
    return _state_in(content, file)


def _state_in(content: Any, file: Path) -> dict[str, Tensor]:
    import torch

    for candidate in (content, *(content.get(k) for k in ("state_dict", "model") if isinstance(content, Mapping))):
        if isinstance(candidate, Mapping) and candidate and all(torch.is_tensor(t) for t in candidate.values()):
            return dict(candidate)
    raise FileError(f"{file} holds no state dict; save one with torch.save(model.state_dict(), file)")


def _without_shared(model: nn.Module, own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """Keys that the file lacks; a tensor that the model holds under several names needs only one of them."""
    there = {own[key].data_ptr() for key in state if key in own and own[key].numel()}
    return [key for key, tensor in own.items() if key not in state and tensor.data_ptr() not in there]


def _listing(title: str, keys: Iterable[str]) -> str:
    keys = list(keys)
    more = f"\n    … and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
    return f"  {title} ({len(keys)}):\n    " + "\n    ".join(keys[:LISTED]) + more if keys else ""
