"""The most memory that one call of a model holds at one time, counted.

It is what the model holds (parameters and buffers), what it is given, and what forward has made and not yet let go:
the results of torch functions, each once however many views there are of it, as long as a variable of the running code
holds them. What a kernel borrows and returns inside one function (packed weights of a convolution, gates of an LSTM) is
not counted: it depends on the library and the machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate
from math import prod

from ..wiring import Wiring
from ..wiring.layouts import layout_size
from ..wiring.lifetimes import Held, Lifetimes


def observed_peak(lifetimes: Lifetimes, stored: int) -> int:
    """Bytes at the fullest moment of a forward that was watched; ``stored`` are parameters and buffers."""
    spans = ((held.call, held.last, held.bytes) for held in lifetimes.held)
    return stored + fullest(spans, lifetimes)


def predicted_peak(wiring: Wiring, sizes: Mapping[str, int], stored: int) -> int | None:
    """The same of the model with these widths; None where a wiring does not tell (``Wiring.lifetimes``)."""
    lifetimes = wiring.lifetimes
    if lifetimes is None:
        return None
    spans = ((held.call, held.last, held_bytes(wiring, held, sizes)) for held in lifetimes.held)
    return stored + fullest(spans, lifetimes)


def held_bytes(wiring: Wiring, held: Held, sizes: Mapping[str, int]) -> int:
    """What a piece of memory comes to with these widths: it grows with the result that lies there."""
    layouts = wiring.calls[held.call].outputs[held.output]
    before = prod(layout_size(layout, wiring.sizes) for layout in layouts)
    return held.bytes * prod(layout_size(layout, sizes) for layout in layouts) // before if before else held.bytes


def fullest(spans: Iterable[tuple[int, int, int]], lifetimes: Lifetimes) -> int:
    """The inputs, and of spans (first call, last call, bytes) the largest sum at one time."""
    changes = [0] * (lifetimes.calls + 1)
    for first, last, size in spans:
        changes[first] += size
        changes[last + 1] -= size
    return lifetimes.given + max(accumulate(changes))
