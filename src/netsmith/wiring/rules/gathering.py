"""Functions that read or write units by positions held in a tensor: gather, scatter, index_add, index_put."""

from __future__ import annotations

import torch

from .. import spaces
from ..recorder import Call, Dims, constants
from .indexing import written


def _beside(call: Call, main: Dims, other: Dims, where: int) -> None:
    """Away from dimension ``where`` the two tensors meet unit by unit, if they have the same size."""
    for i, (a, b) in enumerate(zip(main, other, strict=True)):
        if i == where:
            continue
        if spaces.size_of(a) == spaces.size_of(b):
            spaces.unify(a, b)
        else:
            call.freeze(a, f"{call.name} reads a part of it")
            call.freeze(b, f"{call.name} goes over a part")


def gather(call: Call) -> Dims:
    """gather(x, dim, index), take_along_dim(x, indices, dim): the result has the index's dimensions."""
    at, dim = (call.arg(2, "index"), call.arg(1, "dim"))
    if call.name == "take_along_dim":
        at, dim = call.arg(1, "indices"), call.arg(2, "dim")
    if dim is None:
        raise TypeError("positions in the flattened tensor")
    dims, positions = call.dims(call.args[0]), call.dims(at)
    where = int(dim) % max(len(dims), 1)
    call.freeze(dims[where], f"{call.name} reads it by position")
    _beside(call, dims, positions, where)
    call.freeze(positions[where], "holds positions")
    return positions


def scatter(call: Call) -> Dims:
    """scatter(x, dim, index, source), scatter_add, scatter_reduce: the result has x's dimensions."""
    dims, where = call.dims(call.args[0]), int(call.arg(1, "dim"))
    where %= max(len(dims), 1)
    call.freeze(dims[where], f"{call.name} writes it by position")
    for tensor in call.tensors()[1:]:
        if tensor.dim() == len(dims):
            _beside(call, dims, call.dims(tensor), where)
            call.freeze(call.dims(tensor)[where], "written by position")
    return dims


def index_write(call: Call) -> Dims:
    """index_add(x, dim, index, source), index_copy, index_fill: whole slices are written."""
    dims, where = call.dims(call.args[0]), int(call.arg(1, "dim"))
    where %= max(len(dims), 1)
    call.freeze(dims[where], f"{call.name} writes it by position")
    call.freeze(call.dims(call.arg(2, "index")), "holds positions")
    source = call.arg(3, "source", call.kwargs.get("tensor"))
    if isinstance(source, torch.Tensor) and source.dim() == len(dims):
        _beside(call, dims, call.dims(source), where)
        call.freeze(call.dims(source)[where], "written by position")
    return dims


def index_put(call: Call) -> Dims:
    """index_put(x, (i, j), values) is ``x[i, j] = values``."""
    target, keys, values = call.args[0], call.arg(1, "indices"), call.arg(2, "values")
    written(call, target, tuple(slice(None) if k is None else k for k in keys), values)
    return call.dims(target)


def masked(call: Call) -> Dims:
    """masked_select, take: elements are picked out of all dimensions at once."""
    for tensor in call.tensors():
        call.freeze(call.dims(tensor), f"{call.name} picks single elements")
    return constants(call.out, "picked elements")


def masked_scatter(call: Call) -> Dims:
    """masked_scatter(x, mask, source). A mask that was expanded along the last dimension picks whole rows.

    So multimodal models lay the features of an image among the embeddings of a text.
    """
    target, mask, source = call.args[0], call.arg(1, "mask"), call.arg(2, "source")
    dims, holes, given = call.dims(target), call.dims(mask), call.dims(source)
    rows = bool(holes) and (mask.shape[-1] == 1 or mask.stride(-1) == 0)
    if rows and dims and given and target.shape[-1] == source.shape[-1]:
        spaces.unify(dims[-1], given[-1])
        spaces.unify(dims[-1], holes[-1])
        dims, holes, given = dims[:-1], holes[:-1], given[:-1]
    for some in (dims, holes, given):
        call.freeze(some, "masked_scatter picks single elements")
    return call.dims(target)


RULES = {"gather": gather, "take_along_dim": gather, "index_put": index_put}
RULES |= {name: scatter for name in ("scatter", "scatter_add", "scatter_reduce")}
RULES |= {name: index_write for name in ("index_add", "index_copy", "index_fill", "index_reduce")}
RULES |= {name: masked for name in ("masked_select", "take")}
RULES["masked_scatter"] = masked_scatter
