"""Multiply-accumulates of one call, from shapes alone.

A table from function name to a plain function of shapes. Functions that are not in it count zero: normalizations,
activations and pooling do no multiply-accumulates worth counting. One multiply-add is one MAC (torch's own flop
counter says two flops).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isqrt, prod

Shape = tuple[int, ...]


def _linear(inputs: Sequence[Shape], output: Shape, text: str) -> int:
    return prod(output) * inputs[0][-1]


def _convolution(inputs: Sequence[Shape], output: Shape, text: str) -> int:
    return prod(output) * prod(inputs[1][1:])


def _transposed_convolution(inputs: Sequence[Shape], output: Shape, text: str) -> int:
    return prod(inputs[0]) * prod(inputs[1][1:])


def _added_matmul(inputs: Sequence[Shape], output: Shape, text: str) -> int:
    return prod(output) * inputs[1][-1]


def _attention(inputs: Sequence[Shape], output: Shape, text: str) -> int:
    query, key, value = inputs[:3]
    return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _einsum(inputs: Sequence[Shape], output: Shape, text: str) -> int:
    letters: dict[str, int] = {}
    for term, shape in zip(text.replace(" ", "").partition("->")[0].split(","), inputs, strict=True):
        head, dots, tail = term.partition("...")
        hidden = len(shape) - len(head) - len(tail)
        named = head + "".join(chr(0x100 + i) for i in range(hidden) if dots) + tail
        letters.update(zip(named, shape, strict=True))
    return prod(letters.values())


def _contraction(inputs: Sequence[Shape], output: Shape, text: str) -> int:
    """Any product of two tensors: what is in both and not in the output is summed over."""
    summed_squared = prod(inputs[0]) * prod(inputs[1]) // max(prod(output), 1)
    return prod(output) * isqrt(summed_squared)


def _added_batches(inputs: Sequence[Shape], output: Shape, text: str) -> int:
    return prod(inputs[1]) * inputs[2][-1]


def _bilinear(inputs: Sequence[Shape], output: Shape, text: str) -> int:
    return prod(output) * (prod(inputs[2][1:]) + inputs[2][2])


def _cell(inputs: Sequence[Shape], output: Shape, text: str) -> int:
    """One step of a recurrent layer: the matrices are the two that follow the input and the states."""
    matrices = [shape for shape in inputs if len(shape) == 2][-2:]
    return inputs[0][0] * sum(prod(shape) for shape in matrices)


def _recurrent(inputs: Sequence[Shape], output: Shape, text: str) -> int:
    return prod(inputs[0][:-1]) * sum(prod(shape) for shape in inputs[1:] if len(shape) == 2)


MACS: dict[str, Callable[[Sequence[Shape], Shape, str], int]] = {"linear": _linear, "einsum": _einsum}
MACS |= {f"conv{n}d": _convolution for n in (1, 2, 3)}
MACS |= {f"conv_transpose{n}d": _transposed_convolution for n in (1, 2, 3)}
MACS |= {name: _linear for name in ("matmul", "__matmul__", "bmm", "mm", "mv", "dot")}
MACS |= {name: _added_matmul for name in ("addmm", "baddbmm", "addmv")}
MACS |= {name: _recurrent for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")}
MACS |= {name: _cell for name in ("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")}
MACS |= {"tensordot": _contraction, "inner": _contraction, "addbmm": _added_batches, "bilinear": _bilinear}
MACS["scaled_dot_product_attention"] = _attention


def call_macs(name: str, inputs: Sequence[Shape], output: Shape, text: str = "") -> int:
    """Multiply-accumulates of one call of a torch function.

    Args:
        name: canonical function name.
        inputs: shape of each tensor argument, in order.
        output: shape of the first result.
        text: the equation of an einsum.
    """
    count = MACS.get(name)
    return count(inputs, output, text) if count else 0
