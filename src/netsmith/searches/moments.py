"""What forward holds during each of its calls, while widths are on their way down.

Peak memory is no sum: it is the largest of many sums, one for each call, and a narrower axis lowers those of the calls
during which something of that width is held. So a limit of it is a limit on every moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..costs.peak import fullest, held_bytes
from ..wiring import Wiring
from ..wiring.layouts import axis_names
from ..wiring.lifetimes import Held


class Piece:
    """Memory that one call made. What it takes depends on a few sizes, and is asked for again and again."""

    def __init__(self, wiring: Wiring, held: Held):
        layouts = wiring.calls[held.call].outputs[held.output]
        self.axes = tuple(sorted({name for layout in layouts for name in axis_names(layout)}))
        self.held = held
        self._wiring = wiring
        self._known: dict[tuple[int, ...], int] = {}

    def bytes(self, sizes: Mapping[str, int]) -> int:
        key = tuple(sizes[name] for name in self.axes)
        if key not in self._known:
            self._known[key] = held_bytes(self._wiring, self.held, sizes)
        return self._known[key]


class Moments:
    """Bytes held during each call: parameters, buffers, inputs, and what forward has made and not yet let go.

    Attributes:
        now: (calls,) int64, at the widths reached so far.
    """

    def __init__(self, wiring: Wiring, axes: Sequence[Sequence[str]], limit: float):
        """``axes``: names of the axes of each step that will be asked about."""
        lifetimes = wiring.lifetimes
        assert lifetimes is not None  # else Budget.limits has refused
        pieces = pieces_of(wiring)
        self._of = [[piece for piece in pieces if not set(names).isdisjoint(piece.axes)] for names in axes]
        self._limit = limit
        self.now = np.zeros(max(lifetimes.calls, 1), dtype=np.int64) + lifetimes.given
        self.now += sum(tensor.numel() * tensor.element_size() for tensor in wiring.tensors.values())
        for piece in pieces:
            self.now[piece.held.call : piece.held.last + 1] += piece.bytes(wiring.sizes)
        self._over = max(int((self.now > limit).sum()), 1)

    def after(self, step: int, before: Mapping[str, int], then: Mapping[str, int], stored: float) -> np.ndarray:
        """(calls,) once the axes of a step have other sizes, and parameters and buffers so many bytes more."""
        changes = np.zeros(len(self.now) + 1, dtype=np.int64)
        changes[0] = round(stored)
        for piece in self._of[step]:
            change = piece.bytes(then) - piece.bytes(before)
            changes[piece.held.call] += change
            changes[piece.held.last + 1] -= change
        return self.now + np.cumsum(changes[:-1])

    def relief(self, after: np.ndarray) -> float:
        """What a step takes off the moments above the limit, as a share of it; of those above it at first, the mean."""
        spared = np.maximum(self.now - self._limit, 0) - np.maximum(after - self._limit, 0)
        return float(spared.sum()) / self._limit / self._over


def pieces_of(wiring: Wiring) -> list[Piece]:
    """All memory that forward makes; nothing where the wiring does not tell."""
    return [] if wiring.lifetimes is None else [Piece(wiring, held) for held in wiring.lifetimes.held]


def peak_of(wiring: Wiring, pieces: Sequence[Piece], sizes: Mapping[str, int], stored: int) -> int | None:
    """As ``costs.peak.predicted_peak``, of pieces that remember what they took."""
    if wiring.lifetimes is None:
        return None
    return stored + fullest(((p.held.call, p.held.last, p.bytes(sizes)) for p in pieces), wiring.lifetimes)
