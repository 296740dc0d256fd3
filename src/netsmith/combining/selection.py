"""Exactly the k largest or smallest magnitudes of a tensor that is seen in chunks, without sorting it.

The bits of a float without its sign order as the magnitudes do. So counting how often each of the 32,768 patterns of a
16-bit float occurs gives the exact threshold in one pass; wider floats take one pass more for each 16 bits.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_BITS = {
    torch.bfloat16: torch.int16,
    torch.float16: torch.int16,
    torch.float32: torch.int32,
    torch.float64: torch.int64,
}


def magnitude_bits(x: Tensor) -> Tensor:
    """Integers that order as |x| does; NaN is the largest."""
    kind = _BITS[x.dtype]
    return x.contiguous().view(kind).bitwise_and(torch.iinfo(kind).max)


class Smallest:
    """Tells the ``count`` smallest magnitudes of a flat tensor; among equals the first, or the last, count as smaller.

    ``survey`` every chunk ``passes`` times, calling ``next_pass`` after each; then ``mask`` every chunk in order.
    """

    def __init__(self, dtype: torch.dtype, count: int, *, first_is_smaller: bool) -> None:
        self.passes = dtype.itemsize // 2
        self.count, self.first_is_smaller = count, first_is_smaller
        self.shift = 16 * (self.passes - 1)
        self.prefix = 0  # the digits of the threshold that are known
        self.rank = count  # how many are still to be found among those with this prefix
        self.counts = torch.zeros(1 << 15, dtype=torch.int64)  # the first digit has no sign
        self.equal = 0

    def survey(self, bits: Tensor) -> None:
        """Count the digits of one chunk of ``magnitude_bits``."""
        if self.passes == 1:
            digits = bits
        else:
            if self.shift < 16 * (self.passes - 1):
                bits = bits[bits.bitwise_right_shift(self.shift + 16) == self.prefix]
            digits = bits.bitwise_right_shift(self.shift).bitwise_and(0xFFFF)
        self.counts += torch.bincount(digits, minlength=len(self.counts)).cpu()

    def next_pass(self) -> None:
        """After every chunk was surveyed."""
        below = self.counts.cumsum(0)
        digit = min(int(torch.searchsorted(below, self.rank, right=True)), len(below) - 1)
        self.rank -= int(below[digit] - self.counts[digit])
        self.equal = int(self.counts[digit])  # as large as the threshold
        self.prefix = (self.prefix << 16) | digit
        self.counts = torch.zeros(1 << 16, dtype=torch.int64)
        self.shift -= 16
        # Of those equal to the threshold ``rank`` count as smaller: at once, or after the others have passed.
        self.skip = 0 if self.first_is_smaller else self.equal - self.rank

    def mask(self, bits: Tensor) -> Tensor:
        """True where an element of the chunk is one of the smallest."""
        if not self.first_is_smaller and not self.skip:
            return _compared(torch.le, bits, self.prefix)  # of those equal to the threshold all that are left
        smaller = _compared(torch.lt, bits, self.prefix)
        if not self.rank:
            return smaller
        equal = _compared(torch.eq, bits, self.prefix)
        here = int(torch.count_nonzero(equal))
        if here and self.skip < here:
            if self.skip or self.rank < here:
                number = equal.cumsum(0)
                equal = equal & (number > self.skip) & (number <= self.skip + self.rank)
            taken = min(here - self.skip, self.rank)
            self.skip, self.rank = 0, self.rank - taken
            return smaller.logical_or_(equal)
        self.skip -= here
        return smaller


def _compared(how: Callable[..., Tensor], bits: Tensor, limit: int) -> Tensor:
    """``how(bits, limit)``: by way of integers, which on CPU takes a fifth of the time of going to bool at once."""
    return how(bits, limit, out=torch.empty_like(bits)).bool()
