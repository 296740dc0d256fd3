"""MODEL, weights and the shape of the input, as text -> a model and its example inputs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .functions import call_user, find_function
from .libraries import hf_has_weights, hf_inputs, hf_model, timm_model, torchvision_model
from .weights import load_weights

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class ModelSource:
    """How to build a model, as text that can be written down and followed again.

    Attributes:
        model: as the command line and recipes take it.
        weights: file to load, or None for what the source itself brings.
        input: shape of the example input, or None for what the source says.
        seed: of random weights and of the random example input.
    """

    model: str
    weights: str | None = None
    input: tuple[int, ...] | None = None
    seed: int = 0

    @property
    def brings_no_weights(self) -> bool:
        """Nothing but random numbers will be in the model."""
        kind, _, name = self.model.partition(":")
        random = kind in ("torchvision", "timm", "netsmith.zoo") or (kind == "hf" and not hf_has_weights(name))
        return random and self.weights is None


@dataclass(frozen=True)
class OpenModel:
    """A model in eval mode and inputs that fit it."""

    model: nn.Module
    example_inputs: Any


def open_model(source: ModelSource) -> OpenModel:
    """Build the model, load its weights and make example inputs. The same source gives the same numbers.

    Raises:
        UnknownNameError: no such function, file or model name.
        InputError: the function raises or returns no model; no shape of the inputs is known.
        FileError: the weights do not fit.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(source.seed)
        model, given = _construct(source, structure_only=False)
    if source.weights is not None:
        load_weights(model, source.weights)
    return OpenModel(model.eval(), _example_inputs(source, model, given))


def build_structure(source: ModelSource) -> nn.Module:
    """The model without its weights: what ``netsmith.load`` calls on the meta device."""
    return _construct(source, structure_only=True)[0]


def state_digest(model: nn.Module) -> str:
    """SHA-256 over the names, shapes and bytes of the state dict: says whether two models hold the same numbers."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if not torch.is_tensor(tensor):
            continue  # a module's extra state
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
    return digest.hexdigest()


def _construct(source: ModelSource, *, structure_only: bool) -> tuple[nn.Module, Any]:
    """The model, and what its source says about inputs: a shape, example inputs, or None."""
    kind, _, name = source.model.partition(":")
    if kind == "torchvision":
        return torchvision_model(name)
    if kind == "timm":
        return timm_model(name)
    if kind == "hf":
        return hf_model(name, structure_only=structure_only), None
    return _called(source.model)


def _called(address: str) -> tuple[nn.Module, Any]:
    """What the user's function returns: a model, or (model, example inputs)."""
    from torch import nn

    result = call_user(address, find_function(address))
    model, inputs = result if isinstance(result, tuple) and len(result) == 2 else (result, None)
    if not isinstance(model, nn.Module):
        raise InputError(
            f"{address} returned {type(result).__name__}; it must return a torch.nn.Module, or (module, example_inputs)"
        )
    return model, inputs


def _example_inputs(source: ModelSource, model: nn.Module, given: Any) -> Any:
    import torch

    if source.model.startswith("hf:"):
        return hf_inputs(model, source.input)
    shape = source.input or (given if _is_shape(given) else None)
    if shape is not None:
        return torch.randn(shape, generator=torch.Generator().manual_seed(source.seed))
    if given is not None:
        return given
    raise InputError(
        f"the shape of {source.model}'s input is not known; give --input SHAPE (e.g. --input 1,3,32,32), "
        "or let the function return (model, example_inputs)"
    )


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(type(n) is int for n in value)
