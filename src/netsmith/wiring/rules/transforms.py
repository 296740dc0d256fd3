"""Fourier transforms, complex views, and strided views: they mix or reinterpret some dimensions and pass the others."""

from __future__ import annotations

from .. import spaces
from ..recorder import Call, Dims, constants


def fourier(call: Call) -> Dims:
    """torch.fft.*: the transformed dimensions stay as they are, the others pass."""
    dims = list(call.dims(call.arg(0, "input")))
    one = not call.name.endswith(("2", "n", "shift"))
    where = call.arg(2, "dim", -1 if one else ((-2, -1) if call.name.endswith("2") else None))
    if call.name.endswith("shift"):
        where = call.arg(1, "dim")
    if where is None:
        where = range(len(dims))
    out = constants(call.out, f"transformed by {call.name}")
    for i in where if isinstance(where, (tuple, list, range)) else [where]:
        call.freeze(dims[int(i)], f"{call.name} mixes its units")
        dims[int(i)] = out[int(i)]
    return dims


def as_real(call: Call) -> Dims:
    """view_as_real adds a last dimension (real, imaginary)."""
    return [*call.dims(call.args[0]), spaces.new(2, "real and imaginary part")]


def as_complex(call: Call) -> Dims:
    dims = call.dims(call.args[0])
    call.freeze(dims[-1], "real and imaginary part")
    return dims[:-1]


def pair(call: Call) -> Dims:
    """complex(real, imaginary), polar(size, angle): elementwise."""
    from .pointwise import broadcast

    return broadcast([call.dims(t) for t in call.tensors()], call.out.dim())


def strided(call: Call) -> Dims:
    """as_strided reads memory in an order of its own."""
    call.freeze(call.dims(call.args[0]), "as_strided reads its memory in another order")
    return constants(call.out, "read by as_strided")


def diagonal(call: Call) -> Dims:
    for tensor in call.tensors():
        call.freeze(call.dims(tensor), f"{call.name} pairs its units by position")
    return constants(call.out, f"made by {call.name}")


def channel_shuffle(call: Call) -> Dims:
    """(groups × n) channels become (n × groups)."""
    dims, groups = call.dims(call.args[0]), call.arg(1, "groups")
    count, each = spaces.new(int(groups)), spaces.new(int(call.out.shape[1]) // int(groups))
    spaces.unify(dims[1], count + each)
    call.equal_size(groups, count, "the number of groups is written in the code")
    return [dims[0], each + count, *dims[2:]]


_KINDS = "fft ifft rfft irfft hfft ihfft fft2 ifft2 rfft2 irfft2 fftn ifftn rfftn irfftn fftshift ifftshift"
RULES = {f"fft_{kind}": fourier for kind in _KINDS.split()}
RULES |= {"view_as_real": as_real, "view_as_complex": as_complex, "complex": pair, "polar": pair}
RULES |= {"as_strided": strided, "channel_shuffle": channel_shuffle, "native_channel_shuffle": channel_shuffle}
RULES |= {name: diagonal for name in ("diagonal", "diag", "diag_embed", "diagonal_scatter", "trace")}
