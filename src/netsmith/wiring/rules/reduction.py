"""Functions that fold one or more dimensions into one number."""

from __future__ import annotations

import torch

from ..recorder import Call, Dims, constants

_POSITIONAL = ("argmax", "argmin", "median", "nanmedian", "mode")  # their results name units by position
_SUMS = ("sum", "nansum", "any", "count_nonzero")  # a removed unit of zeros adds nothing
_PRODUCTS = ("prod", "all")  # a unit of zeros decides the result: removing it is not the same as zeroing it


def reduce(call: Call) -> Dims | list[Dims]:
    """mean, sum, max, norm, var, ...: reduced dimensions vanish (or stay with size 1), the others pass."""
    tensor = call.tensors()[0]
    dims = call.dims(tensor)
    where = 2 if call.name in ("norm", "vector_norm", "linalg_vector_norm") else 1
    reduced = call.arg(where, "dim", call.kwargs.get("axis"))
    if reduced is None or isinstance(reduced, (bool, torch.Tensor)):
        reduced = range(len(dims))
    if isinstance(reduced, int):
        reduced = (reduced,)
    axes = {int(i) % max(len(dims), 1) for i in reduced}
    for i in axes & set(range(len(dims))):
        if call.name in _POSITIONAL:
            call.freeze(dims[i], f"{call.name} names its units by position")
        elif call.name in _PRODUCTS:
            call.freeze(dims[i], f"{call.name} multiplies along it")
        elif call.name not in _SUMS:
            call.statistic(dims[i])
        if call.name in ("max", "min") and not isinstance(call.out, torch.Tensor):
            call.positions(dims[i], output=1)
    outs = []
    for out in call.outputs():
        kept = out.dim() == len(dims)
        outs.append([[] if i in axes else dim for i, dim in enumerate(dims) if kept or i not in axes])
    return outs[0] if isinstance(call.out, torch.Tensor) else outs


def ranked(call: Call) -> Dims | list[Dims]:
    """topk, sort, argsort: units along the dimension are reordered by value."""
    dims = list(call.dims(call.tensors()[0]))
    where = 2 if call.name in ("topk", "kthvalue") else 1
    axis = call.arg(where, "dim", -1)
    axis = (int(axis) if not isinstance(axis, bool) else -1) % len(dims)
    call.freeze(dims[axis], f"{call.name} reorders it by value")
    shape = call.outputs()[0].shape
    if len(shape) == len(dims):
        dims[axis] = constants(call.outputs()[0], f"ranked by {call.name}")[axis]
    else:
        dims.pop(axis)
    return dims if isinstance(call.out, torch.Tensor) else [dims for _ in call.outputs()]


_NAMES = """
mean sum amax amin aminmax var std var_mean std_mean prod any all argmax argmin logsumexp norm vector_norm
linalg_vector_norm nanmean nansum median nanmedian mode count_nonzero
"""
RULES = {name: reduce for name in _NAMES.split()}
RULES |= {name: ranked for name in ("topk", "sort", "argsort", "kthvalue")}
