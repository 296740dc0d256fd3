"""Functions that sum over a shared axis: linear, convolutions, matrix products, attention, embedding lookup."""

from __future__ import annotations

import torch

from .. import spaces
from ..recorder import Call, Dims, constants
from .pointwise import broadcast


def _bias(call: Call, bias: torch.Tensor | None, out: spaces.Dim) -> None:
    if bias is not None:
        spaces.unify(call.dims(bias)[0], out)
        call.role(bias, 0, "producer")


def linear(call: Call) -> Dims:
    x, weight = call.dims(call.arg(0, "input")), call.dims(call.arg(1, "weight"))
    spaces.unify(x[-1], weight[-1])
    call.role(call.arg(1, "weight"), -1, "consumer")
    if len(weight) == 1:
        return x[:-1]
    call.role(call.arg(1, "weight"), 0, "producer")
    _bias(call, call.arg(2, "bias"), weight[0])
    return [*x[:-1], weight[0]]


def convolution(call: Call) -> Dims:
    """conv1d..3d, any groups. The weight is (out, in / groups, *kernel)."""
    x, tensor, bias = call.dims(call.arg(0, "input")), call.arg(1, "weight"), call.arg(2, "bias")
    weight, groups = call.dims(tensor), call.arg(6, "groups", 1)
    rank = len(weight) - 2
    channels, spatial = x[-rank - 1], x[-rank:]
    call.freeze(weight[2:], "positions of a convolution kernel")
    after: Dims = []
    for kernel, before, out in zip(weight[2:], spatial, constants(call.out)[-rank:], strict=True):
        if not kernel and spaces.size_of(before) == spaces.size_of(out):
            after.append(before)  # kernel 1, stride 1: positions stay apart
        else:
            call.freeze(before, "a convolution slides along it")
            after.append(spaces.new(spaces.size_of(out), "positions of a convolution's output"))
    call.role(tensor, 0, "producer")
    if int(groups) == 1:
        spaces.unify(channels, weight[1])
        call.role(tensor, 1, "consumer")
    else:
        _grouped(call, channels, weight[0], weight[1], groups)
        call.role(tensor, 1, "consumer")
        if spaces.size_of(weight[1]) == 1:
            call.role(tensor, 0, "pointwise")
    if bias is not None:
        _bias(call, bias, weight[0])
    return [*x[: -rank - 1], weight[0], *after]


def _grouped(call: Call, channels: spaces.Dim, out: spaces.Dim, per_group: spaces.Dim, groups: int) -> None:
    """channels = groups × in-per-group, out = groups × out-per-group."""
    count = spaces.new(int(groups))
    spaces.unify(channels, count + per_group)
    spaces.unify(out, count + spaces.new(spaces.size_of(out) // int(groups)))
    call.equal_size(groups, count, "the number of groups is written in the code")


def transposed_convolution(call: Call) -> Dims:
    """conv_transpose1d..3d. The weight is (in, out / groups, *kernel)."""
    x, tensor, bias = call.dims(call.arg(0, "input")), call.arg(1, "weight"), call.arg(2, "bias")
    weight, groups = call.dims(tensor), call.arg(6, "groups", 1)
    rank = len(weight) - 2
    call.freeze(x[-rank:], "a convolution slides along it")
    call.freeze(weight[2:], "positions of a convolution kernel")
    call.role(tensor, 1, "producer")
    call.role(tensor, 0, "consumer")
    if int(groups) == 1:
        spaces.unify(x[-rank - 1], weight[0])
        out = weight[1]
    else:
        count = spaces.new(int(groups))
        spaces.unify(weight[0], count + spaces.new(spaces.size_of(weight[0]) // int(groups)))
        spaces.unify(x[-rank - 1], weight[0])
        out = count + weight[1]
        call.equal_size(groups, count, "the number of groups is written in the code")
    if bias is not None:
        _bias(call, bias, out)
    return [*x[: -rank - 1], out, *constants(call.out, "positions of a convolution's output")[-rank:]]


def matmul(call: Call) -> Dims:
    left, right = call.args[0], call.arg(1, "other", call.kwargs.get("mat2", call.kwargs.get("vec")))
    if call.name == "__rmatmul__":
        left, right = right, left
    x, y = call.dims(left), call.dims(right)
    spaces.unify(x[-1], y[-2] if len(y) > 1 else y[-1])
    call.role(right, -2 if len(y) > 1 else -1, "consumer")
    call.role(left, -1, "consumer")
    tail: Dims = []
    if len(x) > 1:
        tail.append(x[-2])
        call.role(left, -2, "producer")
    if len(y) > 1:
        tail.append(y[-1])
        call.role(right, -1, "producer")
    return broadcast([x[:-2], y[:-2]], call.out.dim() - len(tail)) + tail


def added_matmul(call: Call) -> Dims:
    """addmm, baddbmm: bias + x @ y."""
    bias = call.dims(call.arg(0, "input"))
    x = call.dims(call.arg(1, "mat1", call.kwargs.get("batch1")))
    y = call.dims(call.arg(2, "mat2", call.kwargs.get("batch2")))
    spaces.unify(x[-1], y[-2])
    call.role(call.arg(2, "mat2"), -2, "consumer")
    call.role(call.arg(2, "mat2"), -1, "producer")
    if len(x) == 3:
        spaces.unify(x[0], y[0])
    return broadcast([[*x[:-1], y[-1]], bias], call.out.dim())


def einsum(call: Call) -> Dims:
    """Same letter, same axis."""
    equation, operands = call.args[0], call.args[1:]
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    widest = max((t.dim() - len(s.replace("...", "")) for s, t in zip(terms, operands, strict=True)), default=0)
    spare = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in equation][:widest]

    def spelled(term: str, rank: int) -> str:
        hidden = rank - len(term.replace("...", ""))
        return term.replace("...", "".join(spare[len(spare) - hidden :]) if hidden else "")

    terms = [spelled(s, t.dim()) if "..." in s else s for s, t in zip(terms, operands, strict=True)]
    right = spelled(right, call.out.dim()) if "..." in right else right
    letters: dict[str, spaces.Dim] = {}
    for term, tensor in zip(terms, operands, strict=True):
        for position, (letter, dim) in enumerate(zip(term, call.dims(tensor), strict=True)):
            call.role(tensor, position, "producer" if letter in right else "consumer")
            if spaces.size_of(dim) == 1:
                continue
            if letter in letters:
                spaces.unify(letters[letter], dim)
            else:
                letters[letter] = dim
    if not arrow:
        joined = "".join(terms)
        right = "".join(sorted(c for c in set(joined) if joined.count(c) == 1))
    return [letters.get(c, []) for c in right]


def attention(call: Call) -> Dims:
    """scaled_dot_product_attention; with fewer key heads than query heads the queries are grouped."""
    q, k, v = (call.dims(call.arg(i, n)) for i, n in enumerate(("query", "key", "value")))
    spaces.unify(q[-1], k[-1])
    spaces.unify(k[-2], v[-2])
    call.statistic(k[-2])
    if call.arg(6, "scale") is None:
        call.statistic(q[-1])  # the default scale is 1 / sqrt(head width)
    for i in range(len(k) - 2):
        spaces.unify(k[i], v[i])
        queries, keys = spaces.size_of(q[i]), spaces.size_of(k[i])
        if queries == keys:
            spaces.unify(q[i], k[i])
        elif keys > 1:
            spaces.unify(q[i], k[i] + spaces.new(queries // keys))
    mask = call.arg(3, "attn_mask")
    if mask is not None:
        broadcast([[*q[:-1], k[-2]], call.dims(mask)], call.out.dim())
    return [*q[:-1], v[-1]]


def grouped_mm(call: Call) -> Dims:
    """Rows of x in groups, each times its own matrix (stacked experts). x (rows, in), y (groups, in, out), offsets."""
    left, right = call.arg(0, "input", call.kwargs.get("self")), call.arg(1, "mat2")
    x, y = call.dims(left), call.dims(right)
    if len(x) != 2 or len(y) != 3:
        raise TypeError("groups along another dimension")
    spaces.unify(x[-1], y[-2])
    call.role(right, -2, "consumer")
    call.role(right, -1, "producer")
    call.freeze(y[0], "one matrix for each group of rows")
    for tensor in call.tensors()[2:]:
        call.freeze(call.dims(tensor), "offsets of the groups")
    for dim in (x[-1], y[-1]):
        call.aligned(dim, 16 // right.element_size())  # the kernel wants rows of whole 16 bytes
    return [x[0], y[-1]]


def bilinear(call: Call) -> Dims:
    x, y, weight = (call.dims(call.arg(i, n)) for i, n in enumerate(("input1", "input2", "weight")))
    spaces.unify(x[-1], weight[1])
    spaces.unify(y[-1], weight[2])
    tensor = call.arg(2, "weight")
    for i, role in enumerate(("producer", "consumer", "consumer")):
        call.role(tensor, i, role)
    _bias(call, call.arg(3, "bias"), weight[0])
    return [*broadcast([x[:-1], y[:-1]], len(x) - 1), weight[0]]


def inner(call: Call) -> Dims:
    """inner(x, y): sums over the last dimension of both."""
    x, y = call.dims(call.args[0]), call.dims(call.arg(1, "other"))
    spaces.unify(x[-1], y[-1])
    return [*x[:-1], *y[:-1]]


def outer(call: Call) -> Dims:
    return [*call.dims(call.args[0]), *call.dims(call.arg(1, "vec2", call.kwargs.get("other")))]


def distances(call: Call) -> Dims:
    """cdist: every row of x against every row of y; a coordinate that is zero in both adds nothing."""
    x, y = call.dims(call.arg(0, "x1")), call.dims(call.arg(1, "x2"))
    spaces.unify(x[-1], y[-1])
    return [*broadcast([x[:-2], y[:-2]], call.out.dim() - 2), x[-2], y[-2]]


def similarity(call: Call) -> Dims:
    """cosine_similarity, pairwise_distance: meet unit by unit, then sum over one dimension."""
    tensors = call.tensors()
    rank = max(t.dim() for t in tensors)
    met = broadcast([call.dims(t) for t in tensors], rank)
    met.pop(int(call.arg(2, "dim", 1)) if call.name == "cosine_similarity" else -1)
    return met


def embedding(call: Call) -> Dims:
    weight, index = call.dims(call.arg(0, "weight")), call.dims(call.arg(1, "input"))
    call.freeze(weight[0], "rows of an embedding are looked up by number")
    call.freeze(index, "holds row numbers")
    call.role(call.arg(0, "weight"), 1, "producer")
    return [*index, weight[1]]


RULES = {"linear": linear, "einsum": einsum, "scaled_dot_product_attention": attention, "embedding": embedding}
RULES |= {f"conv{n}d": convolution for n in (1, 2, 3)}
RULES |= {f"conv_transpose{n}d": transposed_convolution for n in (1, 2, 3)}
RULES |= {name: matmul for name in ("matmul", "__matmul__", "__rmatmul__", "bmm", "mm", "mv", "dot", "vdot")}
RULES |= {name: grouped_mm for name in ("_grouped_mm", "grouped_mm")}
RULES |= {"bilinear": bilinear, "inner": inner, "outer": outer, "ger": outer}
RULES |= {"cdist": distances, "_cdist_forward": distances, "cosine_similarity": similarity}
RULES |= {name: added_matmul for name in ("addmm", "baddbmm", "addbmm")}
