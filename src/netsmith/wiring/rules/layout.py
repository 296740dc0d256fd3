"""Functions that rearrange dimensions without touching values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .. import spaces
from ..recorder import Call, Dims, Rule, constants
from .pointwise import broadcast


def _reshaped(call: Call, dims: Dims, sizes: Sequence) -> Dims:
    """``sizes``: the program's ints for the output dimensions; -1 needs nothing."""
    if 0 in call.out.shape:
        return constants(call.out, "empty")
    out = spaces.regroup([space for dim in dims for space in dim], [int(n) for n in call.out.shape])
    for size, dim in zip(sizes, out, strict=False):
        call.equal_size(size, dim, f"{call.name} to a size written in the code")
    return out


def view(call: Call) -> Dims:
    sizes = call.ints(1, "shape") or call.ints(1, "size")
    if sizes and isinstance(sizes[0], torch.dtype):
        raise TypeError("view as another dtype")
    return _reshaped(call, call.dims(call.args[0]), sizes)


def view_as(call: Call) -> Dims:
    out = _reshaped(call, call.dims(call.args[0]), [])
    for dim, other in zip(out, call.dims(call.args[1]), strict=True):
        spaces.unify(dim, other)
    return out


def flatten(call: Call) -> Dims:
    dims = call.dims(call.arg(0, "input"))
    if not dims:
        return [[]]
    start, end = int(call.arg(1, "start_dim", 0)) % len(dims), int(call.arg(2, "end_dim", -1)) % len(dims)
    return [*dims[:start], [space for dim in dims[start : end + 1] for space in dim], *dims[end + 1 :]]


def unflatten(call: Call) -> Dims:
    dims, sizes = call.dims(call.args[0]), list(call.arg(2, "sizes"))
    i = int(call.arg(1, "dim")) % len(dims)
    out = spaces.regroup(dims[i], [int(n) for n in call.out.shape[i : i + len(sizes)]])
    for size, dim in zip(sizes, out, strict=True):
        call.equal_size(size, dim, "unflatten to a size written in the code")
    return [*dims[:i], *out, *dims[i + 1 :]]


def permute(call: Call) -> Dims:
    dims = call.dims(call.args[0])
    return [dims[int(i)] for i in call.ints(1, "dims")]


def transpose(call: Call) -> Dims:
    dims = list(call.dims(call.args[0]))
    i = int(call.arg(1, "dim0", call.kwargs.get("axis0")))
    j = int(call.arg(2, "dim1", call.kwargs.get("axis1")))
    dims[i], dims[j] = dims[j], dims[i]
    return dims


def transposed(call: Call) -> Dims:
    dims = list(call.dims(call.args[0]))
    return dims[::-1] if call.name in ("t", "T.get") else [*dims[:-2], dims[-1], dims[-2]]


def movedim(call: Call) -> Dims:
    dims = call.dims(call.args[0])

    def positions(value: Any) -> list[int]:
        return [int(i) % len(dims) for i in (value if isinstance(value, (tuple, list)) else [value])]

    sources, targets = positions(call.arg(1, "source")), positions(call.arg(2, "destination"))
    out: list = [None] * len(dims)
    for s, t in zip(sources, targets, strict=True):
        out[t] = dims[s]
    rest = iter(dim for i, dim in enumerate(dims) if i not in sources)
    return [next(rest) if dim is None else dim for dim in out]


def squeeze(call: Call) -> Dims:
    dims, where = call.dims(call.args[0]), call.arg(1, "dim")
    if where is None:
        return [dim for dim in dims if spaces.size_of(dim) > 1]
    chosen = {int(i) % len(dims) for i in (where if isinstance(where, (tuple, list)) else [where])}
    return [dim for i, dim in enumerate(dims) if i not in chosen or spaces.size_of(dim) > 1]


def unsqueeze(call: Call) -> Dims:
    dims, i = list(call.dims(call.args[0])), int(call.arg(1, "dim"))
    dims.insert(i + (len(dims) + 1) * (i < 0), [])
    return dims


def expand(call: Call) -> Dims:
    dims, sizes = call.dims(call.args[0]), call.ints(1, "size") or call.ints(1, "shape")
    dims = [[]] * (call.out.dim() - len(dims)) + dims
    out: Dims = []
    for dim, size, n in zip(dims, sizes, call.out.shape, strict=True):
        if spaces.size_of(dim) == int(n):
            call.equal_size(size, dim, "expanded to a size written in the code")
            out.append(dim)
        else:
            out.append(call.from_int(size, "expanded to a size written in the code"))
    return out


def expand_as(call: Call) -> Dims:
    return broadcast([call.dims(call.args[0]), call.dims(call.args[1])], call.out.dim())


def broadcast_tensors(call: Call) -> list[Dims]:
    out = broadcast([call.dims(t) for t in call.tensors()], call.outputs()[0].dim())
    return [out for _ in call.outputs()]


def repeat(call: Call) -> Dims:
    dims, times = call.dims(call.args[0]), call.ints(1, "repeats") or call.ints(1, "dims")
    dims = [[]] * (call.out.dim() - len(dims)) + dims
    times = [1] * (call.out.dim() - len(times)) + list(times)
    return [
        call.from_int(n, "repeated a number of times written in the code") + dim if int(n) > 1 else dim
        for dim, n in zip(dims, times, strict=True)
    ]


def repeat_interleave(call: Call) -> Dims:
    dims, times, where = list(call.dims(call.args[0])), call.arg(1, "repeats"), call.arg(2, "dim")
    if not isinstance(times, int) or where is None:
        raise TypeError("repeat_interleave with a tensor of counts")
    if int(times) > 1:
        i = int(where)
        dims[i] = dims[i] + call.from_int(times, "repeated a number of times written in the code")
    return dims


def reordered(call: Call) -> Dims:
    """roll, flip: units change places, so the dimension stays as it is."""
    dims = call.dims(call.args[0])
    where = call.arg(2, "dims") if call.name == "roll" else call.ints(1, "dims")
    if call.name in ("fliplr", "flipud"):
        where = [1 if call.name == "fliplr" else 0]
    if where is None or where == ():
        where = range(len(dims))
    for i in where if isinstance(where, (tuple, list, range)) else [where]:
        call.freeze(dims[int(i)], f"{call.name} moves its units")
    return dims


RULES: dict[str, Rule] = {name: view for name in ("view", "reshape", "_unsafe_view")}
RULES |= {"view_as": view_as, "reshape_as": view_as, "flatten": flatten, "ravel": flatten, "unflatten": unflatten}
RULES |= {"permute": permute, "movedim": movedim, "moveaxis": movedim}
RULES |= {name: transpose for name in ("transpose", "swapaxes", "swapdims")}
RULES |= {name: transposed for name in ("t", "T.get", "mT.get", "H.get", "adjoint")}
RULES |= {"squeeze": squeeze, "unsqueeze": unsqueeze, "expand": expand, "broadcast_to": expand, "expand_as": expand_as}
RULES |= {"broadcast_tensors": broadcast_tensors, "repeat": repeat, "tile": repeat}
RULES |= {"repeat_interleave": repeat_interleave}
RULES |= {name: reordered for name in ("roll", "flip", "fliplr", "flipud")}
