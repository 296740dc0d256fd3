"""Several processes that share the weights too (FSDP): each keeps a part of every parameter and of its momentum.

Asked for as Accelerate asks: ``accelerate launch --use_fsdp``, or ``ACCELERATE_USE_FSDP=true`` before ``torchrun``.
The sharding is PyTorch's ``fully_shard``, called here, for Accelerate itself shards on accelerators alone and falls
back to whole copies on CPUs without a word.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..errors import InputError

_ASKED = "ACCELERATE_USE_FSDP"


def wants_shards() -> bool:
    """Whether this run has several processes that share the weights."""
    return os.environ.get(_ASKED, "").lower() in ("1", "true", "yes") and int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def unasked() -> Iterator[None]:
    """Hide the wish from Accelerate, which would wrap models in its own way."""
    before = os.environ.pop(_ASKED, None)
    try:
        yield
    finally:
        if before is not None:
            os.environ[_ASKED] = before


def sharded(model: nn.Module, device: torch.device) -> nn.Module:
    """Shard a model of one's own, in place: the items of each ``nn.ModuleList`` by themselves, then what is left.

    Raises:
        InputError: parametrized weights, among them those stored as integers, or what ``fully_shard`` does not take.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    if any(parametrize.is_parametrized(module) for module in model.modules()):
        raise InputError(
            "FSDP cannot train parametrized or integer weights; launch with plain DDP (without --use_fsdp)"
        )
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    owners: dict[int, int] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    try:
        for module in reversed(list(model.modules())):  # inner parts before those that hold them
            for item in module if isinstance(module, nn.ModuleList) else ():
                if all(owners[id(p)] == 1 for p in item.parameters()):  # a tied weight must lie in one part alone
                    fully_shard(item, mesh=mesh)
        fully_shard(model, mesh=mesh)
    except (ValueError, NotImplementedError) as error:
        raise InputError(
            f"FSDP cannot train this model: {error}; launch with plain DDP (without --use_fsdp)"
        ) from error
    return model


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with their shards put together; all processes must ask."""
    return {name: _whole(tensor) for name, tensor in tensors.items()}


def shared_as(like: Tensor, tensor: Tensor) -> Tensor:
    """A whole tensor, in parts where ``like`` is; all processes must ask."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(like, DTensor) or isinstance(tensor, DTensor):
        return tensor
    return distribute_tensor(tensor.detach().to(like.device), like.device_mesh, like.placements)


def _whole(tensor: Tensor) -> Tensor:
    from torch.distributed.tensor import DTensor

    if not isinstance(tensor, DTensor):
        return tensor
    found: Tensor = tensor.full_tensor()
    return found.detach()
