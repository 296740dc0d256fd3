"""Functions that lay dimensions end to end or cut them apart."""

from __future__ import annotations

from collections.abc import Sequence

from .. import spaces
from ..recorder import Call, Dims, Rule


def cat(call: Call) -> Dims:
    rank = call.out.dim()
    tensors = [t for t in call.arg(0, "tensors") if t.dim() == rank]
    dims = [call.dims(t) for t in tensors]
    where = int(call.arg(1, "dim", call.kwargs.get("axis", 1 if call.name == "hstack" and rank > 1 else 0))) % rank
    out: Dims = []
    for i in range(rank):
        if i == where:
            parts = [
                d[i] if spaces.size_of(d[i]) > 1 else [spaces.Space(1, "a single unit")]
                for d, t in zip(dims, tensors, strict=True)
                if t.shape[i] > 0
            ]
            out.append(parts[0] if len(parts) == 1 else spaces.concat(parts))
        else:
            for other in dims[1:]:
                spaces.unify(dims[0][i], other[i])
            out.append(dims[0][i])
    return out


def stack(call: Call) -> Dims:
    dims = [call.dims(t) for t in call.arg(0, "tensors")]
    for other in dims[1:]:
        for a, b in zip(dims[0], other, strict=True):
            spaces.unify(a, b)
    out = list(dims[0])
    out.insert(int(call.arg(1, "dim", 0)) % call.out.dim(), spaces.new(len(dims), "stacked tensors"))
    return out


def cut(dims: Dims, i: int, pieces: Sequence[int]) -> list[Dims]:
    """Dimensions of consecutive pieces along dimension i."""
    return [[*dims[:i], piece, *dims[i + 1 :]] for piece in spaces.split(dims[i], pieces)]


def split(call: Call) -> list[Dims]:
    """split, chunk and their variants. Sizes given in the program are tied; equal chunks stay equal."""
    dims = call.dims(call.arg(0, "input", call.kwargs.get("tensor")))
    asked = call.arg(1, "split_size_or_sections", call.kwargs.get("split_size", call.kwargs.get("chunks")))
    i = int(call.arg(2, "dim", 0)) % len(dims)
    sizes = [int(t.shape[i]) for t in call.outputs()]
    pieces = iter(cut(dims, i, [n for n in sizes if n]))
    outs = [next(pieces) if n else [*dims[:i], [spaces.Space(0, "an empty piece")], *dims[i + 1 :]] for n in sizes]
    if isinstance(asked, (tuple, list)):
        for size, out in zip(asked, outs, strict=False):
            call.equal_size(size, out[i], "split at a size written in the code")
    elif call.name.endswith("split") and call.name != "tensor_split":
        for out in outs[:-1]:
            call.equal_size(asked, out[i], "split at a size written in the code")
    elif len(set(sizes)) == 1:
        for out in outs[1:]:
            call.equal_sizes(outs[0][i], out[i])
    else:
        call.freeze(dims[i], "chunks of unequal size")
    return outs


def unbind(call: Call) -> list[Dims]:
    dims = call.dims(call.args[0])
    i = int(call.arg(1, "dim", 0)) % len(dims)
    call.freeze(dims[i], "unpacked unit by unit")
    return [[*dims[:i], *dims[i + 1 :]] for _ in call.outputs()]


def glu(call: Call) -> Dims:
    dims = call.dims(call.args[0])
    i = int(call.arg(1, "dim", -1)) % len(dims)
    half = int(call.out.shape[i])
    value, gate = cut(dims, i, [half, half])
    spaces.unify(value[i], gate[i])
    return value


RULES: dict[str, Rule] = {name: cat for name in ("cat", "concat", "concatenate", "hstack")}
RULES |= {"stack": stack, "unbind": unbind, "__iter__": unbind, "glu": glu}
RULES |= {
    name: split for name in ("split", "chunk", "split_with_sizes", "tensor_split", "unsafe_chunk", "unsafe_split")
}
