"""``x[...]`` and the functions like it."""

from __future__ import annotations

from typing import Any

import torch

from .. import spaces
from ..recorder import Call, Dims, constants
from .joining import cut
from .pointwise import broadcast


def index(call: Call, dims: Dims, key: Any, shape: list) -> Dims:
    """Dimensions of ``x[key]``; ``dims`` are x's, ``shape`` the result's."""
    keys = list(key) if isinstance(key, tuple) else [key]
    consumed = sum(_consumes(k) for k in keys)
    full = [slice(None)] * (len(dims) - consumed)
    ellipsis = next((j for j, k in enumerate(keys) if k is Ellipsis), len(keys))
    keys[ellipsis : ellipsis + 1] = full
    out: Dims = []
    i, spot, advanced = 0, 0, False
    for k in keys:
        if k is None or k is True:
            out.append([])
        elif isinstance(k, slice):
            out.append(_slice(call, dims, i, k))
            i += 1
        elif isinstance(k, int):
            if int(k) in (0, -1):
                call.keep_end(dims[i], first=int(k) == 0)
            else:
                call.freeze(dims[i], "one unit is read by its position")
            i += 1
        else:
            for dim in dims[i : i + _consumes(k)]:
                call.freeze(dim, "indexed by a tensor")
            if isinstance(k, torch.Tensor):
                call.freeze(call.dims(k), "holds positions")
            spot, advanced = (spot, True) if advanced else (len(out), True)
            i += _consumes(k)
    if advanced:
        count = len(shape) - len(out)
        out[spot:spot] = [spaces.new(int(n), "indexed by a tensor") for n in shape[spot : spot + count]]
    if [spaces.size_of(dim) for dim in out] != [int(n) for n in shape]:
        call.freeze(dims, "indexed in a way that the rules do not cover")
        return [spaces.new(int(n), "indexed in a way that the rules do not cover") for n in shape]
    return out


def written(call: Call, target: torch.Tensor, key: Any, value: torch.Tensor) -> None:
    """``target[key] = value``: what is assigned meets what the key selects.

    How many places a mask picks is known from values alone; here each mask stands for one place.
    """
    keys = key if isinstance(key, tuple) else (key,)
    picked = any(_is_mask(k) for k in keys)
    place = torch.zeros(1, dtype=torch.long, device=target.device) if picked else None
    plain = tuple(p for k in keys for p in ([place] * k.dim() if _is_mask(k) else [k]))
    selected = index(call, call.dims(target), key, list(target[plain].shape))
    given = call.dims(value)
    broadcast([selected, given], len(selected))
    for dim, met in zip(reversed(given), reversed(selected), strict=False):
        if picked and spaces.size_of(met) == 1:
            call.freeze(dim, "one for each place that a mask picks")


def _is_mask(key: Any) -> bool:
    return isinstance(key, torch.Tensor) and key.dtype == torch.bool


def _consumes(key: Any) -> int:
    """How many dimensions of x one item of the key takes."""
    if key is None or key is Ellipsis or isinstance(key, bool):
        return 0
    return key.dim() if _is_mask(key) else 1


def _slice(call: Call, dims: Dims, i: int, key: slice) -> spaces.Dim:
    dim, step = dims[i], 1 if key.step is None else int(key.step)
    size = spaces.size_of(dim)
    start = key.start or 0
    stop = size if key.stop is None else key.stop
    start = max(start + size, 0) if start < 0 else start
    stop = stop + size if stop < 0 else stop
    stop = size if int(stop) > size else stop
    if int(start) == 0 and int(stop) == size and step == 1:
        return dim
    if int(stop) <= int(start):
        return [spaces.Space(0, "an empty slice")]
    if step == 1:
        return sliced(call, dims, i, start, stop)[i]
    if size % step == 0 and int(start) < step and int(stop) > size - step + int(start) and not spaces.is_frozen(dim):
        kept = spaces.new(size // step)
        spaces.unify(dim, kept + spaces.new(step, "phases of a strided slice"))
        return kept
    call.freeze(dim, "a strided slice goes along it")
    return spaces.new(len(range(int(start), int(stop), step)), "a strided slice")


def sliced(call: Call, dims: Dims, i: int, start: Any, stop: Any) -> Dims:
    """Dimensions of ``x.narrow(i, start, stop - start)``; cuts the dimension at both ends."""
    size = spaces.size_of(dims[i])
    bounds = [(0, int(start)), (int(start), int(stop)), (int(stop), size)]
    pieces = [(a, b) for a, b in bounds if b > a]
    parts = cut(dims, i, [b - a for a, b in pieces])
    out = parts[pieces.index((int(start), int(stop)))]
    why = "sliced at a position written in the code"
    if int(start) and int(stop) != size:
        call.equal_size(stop - start, out[i], why)
        call.equal_size(start, parts[0][i], why)
    elif int(start):
        call.equal_size(start, parts[0][i], why)
    elif int(stop) < size:
        call.equal_size(stop, out[i], why)
    return out


def getitem(call: Call) -> Dims:
    return index(call, call.dims(call.args[0]), call.args[1], list(call.out.shape))


def narrow(call: Call) -> Dims:
    dims, start, length = call.dims(call.args[0]), call.arg(2, "start"), call.arg(3, "length")
    i = int(call.arg(1, "dim")) % len(dims)
    return sliced(call, dims, i, start, start + length)


def select(call: Call) -> Dims:
    dims, at = call.dims(call.args[0]), call.arg(2, "index")
    i = int(call.arg(1, "dim")) % len(dims)
    if isinstance(at, int) and int(at) in (0, -1):
        call.keep_end(dims[i], first=int(at) == 0)
    else:
        call.freeze(dims[i], "one unit is read by its position")
    return [*dims[:i], *dims[i + 1 :]]


def index_select(call: Call) -> Dims:
    dims, i = list(call.dims(call.args[0])), int(call.arg(1, "dim"))
    call.freeze(dims[i], "indexed by a tensor")
    dims[i] = constants(call.out, "indexed by a tensor")[i]
    return dims


def triangle(call: Call) -> Dims:
    dims = call.dims(call.args[0])
    call.freeze(dims[-2:], "a triangle is cut from it")
    return dims


RULES = {"__getitem__": getitem, "narrow": narrow, "select": select, "index_select": index_select}
RULES |= {"tril": triangle, "triu": triangle}
