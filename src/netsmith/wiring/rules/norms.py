"""Normalizations: units pass one by one, and a statistic is taken over some of them."""

from __future__ import annotations

import torch

from .. import spaces
from ..recorder import Call, Dims


def _per_channel(call: Call, channels: spaces.Dim, tensors: list) -> None:
    for tensor in tensors:
        if isinstance(tensor, torch.Tensor) and tensor.dim() == 1:
            spaces.unify(call.dims(tensor)[0], channels)


def batch_norm(call: Call) -> Dims:
    """Statistics are taken per channel, so a removed channel changes no other.

    In training mode over what enters: weight standardization normalizes filters with it.
    """
    dims = call.dims(call.arg(0, "input"))
    if call.arg(5, "training") is True:
        for dim in (dims[0], *dims[2:]):
            call.statistic(dim)
    _per_channel(call, dims[1], [*call.args[1:5], *call.kwargs.values()])
    return dims


def instance_norm(call: Call) -> Dims:
    """The weights come before the running statistics; each is per channel, taken over the positions."""
    dims = call.dims(call.arg(0, "input"))
    for positions in dims[2:]:
        call.statistic(positions)
    _per_channel(call, dims[1], [*call.args[1:5], *call.kwargs.values()])
    return dims


def layer_norm(call: Call) -> Dims:
    """layer_norm and rms_norm over the last dimensions."""
    dims, shape = call.dims(call.arg(0, "input")), call.arg(1, "normalized_shape")
    for i, size in enumerate(reversed(list(shape)), 1):
        call.statistic(dims[-i])
        call.equal_size(size, dims[-i], "the normalized shape is written in the code")
    for tensor in [*call.args[2:4], *call.kwargs.values()]:
        if isinstance(tensor, torch.Tensor):
            for dim, own in zip(reversed(call.dims(tensor)), reversed(dims), strict=False):
                spaces.unify(dim, own)
    return dims


def group_norm(call: Call) -> Dims:
    dims, groups = call.dims(call.arg(0, "input")), call.arg(1, "num_groups")
    if int(groups) > 1:
        count = spaces.new(int(groups))
        inner = spaces.new(spaces.size_of(dims[1]) // int(groups))
        spaces.unify(dims[1], count + inner)
        call.equal_size(groups, count, "the number of groups is written in the code")
        call.statistic(inner)
    else:
        call.statistic(dims[1])
    for positions in dims[2:]:
        call.statistic(positions)
    _per_channel(call, dims[1], [*call.args[2:4], *call.kwargs.values()])
    return dims


def weight_norm(call: Call) -> Dims:
    direction, length = call.dims(call.args[0]), call.dims(call.args[1])
    for i, (a, b) in enumerate(zip(direction, length, strict=True)):
        spaces.unify(a, b)
        if not b:
            call.statistic(direction[i])
    return direction


def local_response_norm(call: Call) -> Dims:
    dims = call.dims(call.arg(0, "input"))
    call.freeze(dims[1], "normalized over neighbouring channels")
    return dims


RULES = {
    "batch_norm": batch_norm,
    "instance_norm": instance_norm,
    "layer_norm": layer_norm,
    "rms_norm": layer_norm,
    "group_norm": group_norm,
    "_weight_norm": weight_norm,
    "local_response_norm": local_response_norm,
}
