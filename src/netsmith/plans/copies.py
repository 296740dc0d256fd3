"""Which units are copied, and how what reads them is shared out among the copies."""

from __future__ import annotations

import torch

from ..wiring import Axis, Wiring
from .edits import WidenAxis


def widened(wiring: Wiring, axis: Axis, size: int, generator: torch.Generator) -> WidenAxis:
    """The edit that widens an axis: every unit as often as the next, the rest drawn at random.

    The copies stand behind the units. What is divided is every dimension that contracts the axis; the rest is copied.

    Args:
        axis: of the wiring.
        size: units afterwards, > axis.size.
        generator: draws the units of the last, incomplete round and all shares: k copies get shares around 1/k, the
            largest up to three times the smallest.
    """
    rounds, rest = divmod(size, axis.size)
    drawn = torch.randperm(axis.size, generator=generator)[:rest].sort().values.tolist()
    source = torch.tensor([*list(range(axis.size)) * rounds, *drawn])
    raw = 0.5 + torch.rand(size, generator=generator, dtype=torch.float64)
    whole = torch.zeros(axis.size, dtype=torch.float64).index_add(0, source, raw)
    share = (raw / whole[source]).tolist()
    divided = [(m.tensor, m.dim) for m in axis.members if m.role == "consumer"]
    names: dict[str, list[str]] = {}
    for alias, first in wiring.aliases.items():
        names.setdefault(first, []).append(alias)
    # further names of tied tensors too: the plan may be carried out on a copy whose ties were lost
    every = [(name, dim) for tensor, dim in divided for name in (tensor, *names.get(tensor, ()))]
    return WidenAxis(axis.name, axis.size, tuple(source.tolist()), tuple(share), tuple(every))
