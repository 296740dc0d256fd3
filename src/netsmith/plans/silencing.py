"""Which parameters of a block must be zero for it to return its input.

Read from the calls of the block, from its result backwards: at a sum one operand must be the block's input, passed on,
and the others are silenced, each by the last parameters that scale it. What is found is a proposal: whether the block
then is an identity is tried with numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ..wiring import Block, Wiring
from ..wiring.recorder import Origin
from ..wiring.wiring import WiredCall

_SUMS = frozenset("add __add__ __radd__ __iadd__ sub __sub__ __isub__ subtract".split())
_PRODUCTS = frozenset("mul __mul__ __rmul__ __imul__ multiply matmul __matmul__ bmm mm einsum".split())
_JOINS = frozenset("cat concat stack where".split())
_SAME = frozenset(
    """
    dropout feature_dropout contiguous clone view reshape flatten unflatten permute transpose squeeze unsqueeze to float
    type type_as roll pad constant_pad_nd __getitem__ view_as reshape_as movedim half double bfloat16 expand detach
    narrow select chunk split unbind __iter__ split_with_sizes alias
    """.split()
)
# functions that make zeros of zeros; relu also returns what it is given, if that is not negative
_RECTIFIERS = frozenset("relu relu6 hardtanh clamp".split())
_ZERO_AT_ZERO = (
    _SAME
    | _RECTIFIERS
    | frozenset(
        """
    gelu silu tanh hardswish leaky_relu elu selu mish sum mean neg abs square upsample_nearest2d upsample_bilinear2d
    avg_pool2d max_pool2d adaptive_avg_pool2d div __truediv__ true_divide masked_fill pixel_shuffle channel_shuffle
    index_select repeat_interleave
    """.split()
    )
)
_LAYERS = frozenset("linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d".split())
_NORMS = frozenset("batch_norm layer_norm rms_norm group_norm instance_norm".split())


class NotSilent(Exception):
    """There is no such set of parameters; says why."""


def silencing(wiring: Wiring, block: Block) -> tuple[str, ...]:
    """Names inside the block of the parameters to set to zero.

    Raises:
        NotSilent: the block's input does not reach its result through sums alone, or something beside it cannot be
            silenced.
    """
    found = _Search(wiring, block).passed(block.result)
    prefix = f"{block.name}."
    outside = [name for name in found if not name.startswith(prefix)]
    if outside:
        raise NotSilent(f"{outside[0]} is no parameter of its own")
    return tuple(sorted(name.removeprefix(prefix) for name in found))


class _Search:
    def __init__(self, wiring: Wiring, block: Block):
        self.wiring, self.block = wiring, block

    def call(self, origin: Origin) -> WiredCall:
        if origin.kind != "call" or not self.block.first_call <= origin.call <= self.block.last_call:
            raise NotSilent("a part of its result comes from outside")
        return self.wiring.calls[origin.call]

    def passed(self, origin: Origin) -> frozenset[str]:
        """Zeros with which a value is the block's input."""
        if origin == self.block.entry:
            return frozenset()
        call = self.call(origin)
        name = base_name(call.name)
        if name in _SUMS:
            return self.sum(call.origins, first_only="sub" in name)
        if name in _SAME | _RECTIFIERS:
            return self.passed(call.origins[0])
        raise NotSilent(f"its input goes through {name} in {call.module}")

    def sum(self, operands: Sequence[Origin], first_only: bool) -> frozenset[str]:
        why = NotSilent("it adds nothing to its input")
        for i, operand in enumerate(operands[:1] if first_only else operands):
            try:
                found = self.passed(operand)
                others = [self.silenced(other) for j, other in enumerate(operands) if j != i]
                return found.union(*others)
            except NotSilent as error:
                why = error
        raise why

    def silenced(self, origin: Origin) -> frozenset[str]:
        """Zeros with which a value is zero."""
        if origin.kind == "slot" and isinstance(self.wiring.tensors[origin.name], nn.Parameter):
            return frozenset((origin.name,))
        call = self.call(origin)
        name, operands = base_name(call.name), call.origins
        if name in _LAYERS:
            return frozenset().union(*(self.silenced(each) for each in operands[1:]))
        if name == "addmm":
            return self.silenced(operands[0]) | self.silenced(operands[2])
        if name in _NORMS:
            scales = [o for o in operands[1:] if o.kind == "slot"]
            own = [o.name for o in scales if isinstance(self.wiring.tensors[o.name], nn.Parameter)]
            return frozenset(own) if own else self.silenced(operands[0])
        if name == "scaled_dot_product_attention":
            return self.silenced(operands[2])
        if name in _PRODUCTS or name == "_weight_norm":
            return self.one_of(operands[::-1])
        if name in _SUMS | _JOINS:
            return frozenset().union(*(self.silenced(each) for each in operands[name == "where" :]))
        if name in _ZERO_AT_ZERO:
            return self.silenced(operands[0])
        raise NotSilent(f"{name} in {call.module} cannot be made zero by a parameter")

    def one_of(self, operands: Sequence[Origin]) -> frozenset[str]:
        """The fewest zeros that silence one factor."""
        found, why = [], NotSilent("no factor can be made zero")
        for operand in operands:
            try:
                found.append(self.silenced(operand))
            except NotSilent as error:
                why = error
        if not found:
            raise why
        return min(found, key=len)


def base_name(name: str) -> str:
    """Of a function, without the underscore of its in-place form."""
    return name[:-1] if name.endswith("_") and not name.startswith("__") else name
