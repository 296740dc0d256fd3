"""Members of one architecture as one batched network: weights laid on top of each other, run under ``torch.vmap``."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from ...data.running import logits
from ...errors import InputError
from .container import being_read


class Stacked(nn.Module):
    """M copies of one architecture. Runs as in eval mode, whatever its mode: dropout off, fixed statistics.

    Where forward is exported or traced, the copies run one after the other, so that every multiplication is seen.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        if not can_be_stacked(members):
            raise InputError("only members with the same modules, shapes and settings can be run as one batch")
        parameters, buffers = stack_module_state([copy.deepcopy(member).eval() for member in members])
        # "." is not allowed in the name of a parameter.
        self.paths = {_flat(path): path for path in (*parameters, *buffers)}
        for path, tensor in parameters.items():
            self.register_parameter(
                _flat(path), nn.Parameter(tensor.detach(), requires_grad=tensor.is_floating_point())
            )
        for path, tensor in buffers.items():
            self.register_buffer(_flat(path), tensor.detach().clone())
        self.count = len(members)
        # In a tuple, so that the architecture is no sub-module: its own tensors, on meta, are never read.
        self.skeleton = (copy.deepcopy(members[0]).to("meta").eval(),)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        state = {path: getattr(self, name) for name, path in self.paths.items()}  # each (M, ...)
        if being_read(args, kwargs):
            return torch.stack([self._one(_row(state, i), args, kwargs) for i in range(self.count)])
        scores: Tensor = torch.vmap(lambda own: self._one(own, args, kwargs), randomness="error")(state)
        return scores  # (M, N, C)

    def apart(self) -> list[nn.Module]:
        """The members again, one module each, in eval mode."""
        members = []
        for i in range(self.count):
            member = copy.deepcopy(self.skeleton[0]).to_empty(device=getattr(self, next(iter(self.paths))).device)
            member.load_state_dict({path: getattr(self, name)[i] for name, path in self.paths.items()}, strict=False)
            members.append(member.eval())
        return members

    def _one(self, state: dict[str, Tensor], args: Any, kwargs: Any) -> Tensor:
        return logits(functional_call(self.skeleton[0], state, args, kwargs))


def can_be_stacked(members: Sequence[nn.Module]) -> bool:
    """Whether the members are one architecture: the same classes, settings, and shapes of all tensors."""
    first = _architecture(members[0])
    return (
        len(members) > 1
        and bool(list(members[0].parameters()))
        # Tensors outside the state (plain attributes, buffers that are not persistent) would be shared by all.
        and all(_kept_in_state(member) for member in members)
        and all(_architecture(member) == first for member in members[1:])
    )


def _architecture(model: nn.Module) -> list[Any]:
    modules = [(name, type(module), _settings(module)) for name, module in model.named_modules()]
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return [modules, [(name, tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()]]


def _settings(module: nn.Module) -> dict[str, str]:
    """What a module was told, in words; objects that print their address are never equal, so never stacked."""
    return {
        name: repr(value)
        for name, value in module.__dict__.items()
        if not name.startswith("_") and name != "training" and not isinstance(value, Tensor)
    }


def _kept_in_state(model: nn.Module) -> bool:
    state = model.state_dict()
    loose = any(isinstance(value, Tensor) for module in model.modules() for value in module.__dict__.values())
    return not loose and all(name in state for name, _ in model.named_buffers())


def _row(state: dict[str, Tensor], index: int) -> dict[str, Tensor]:
    return {path: tensor[index] for path, tensor in state.items()}


def _flat(path: str) -> str:
    return path.replace(".", "__")
