"""Axes on their way from full width down to a budget, always by the step that adds least error for what it saves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..costs import Cost, predict
from ..costs.measure import counted
from ..plans.widths import rounded
from ..wiring import Wiring
from ..wiring.layouts import axis_names
from .curves import Curve
from .measure import sizes_at
from .moments import Moments

_MOST_RUNGS = 128  # widths considered for one axis
PEAK = "peak_bytes"  # the one cost that is no sum over parts


class Part:
    """One call or one tensor of a model. What it costs depends on a few sizes, and is asked for again and again."""

    def __init__(self, alone: Wiring):
        dims = [d for call in alone.calls for d in (*call.inputs, *call.outputs)]
        dims += [alone.layouts[name] for name in alone.tensors]
        self.axes = tuple(sorted({name for layouts in dims for layout in layouts for name in axis_names(layout)}))
        self._alone = alone
        self._known: dict[tuple[int, ...], Cost] = {}

    def cost(self, sizes: Mapping[str, int]) -> Cost:
        key = tuple(sizes[name] for name in self.axes)
        if key not in self._known:
            self._known[key] = counted(self._alone, sizes)
        return self._known[key]


def parts_of(wiring: Wiring) -> list[Part]:
    """The model in parts whose costs add up to its own; without those that cost nothing."""
    calls = [Part(replace(wiring, calls=(call,), tensors={})) for call in wiring.calls]
    tensors = [Part(replace(wiring, calls=(), tensors={name: tensor})) for name, tensor in wiring.tensors.items()]
    return [part for part in (*calls, *tensors) if part.cost(wiring.sizes) != Cost(0, 0, 0)]


class Ladder:
    """The widths that one curve's axes may take, full first, and what each costs."""

    def __init__(self, wiring: Wiring, curve: Curve, round_to: int | None, parts: Sequence[Part]):
        first = curve.axes[0]
        full = wiring.sizes[first]
        narrowest = min(curve.errors)
        count = min(full, _MOST_RUNGS)
        widths = {full}
        for i in range(1, count + 1):
            width = rounded(wiring.axis[first], full - round(i * full / count), round_to)
            widths |= {width} if width >= narrowest else set()
        self.widths = sorted(widths, reverse=True)
        self.sizes = [sizes_at(wiring, curve.axes, width / full, round_to) for width in self.widths]
        self.errors = [curve.error(width) for width in self.widths]
        self.axes = curve.axes
        axes = set(curve.axes)
        self.parts = [part for part in parts if axes.intersection(part.axes)]  # all whose cost depends on the axes


class Walk:
    """Widths on their way down."""

    def __init__(self, wiring: Wiring, ladders: list[Ladder], limits: Mapping[str, float]):
        self.ladders, self.limits = ladders, limits
        self._added = {name for name in limits if name != PEAK} | ({"bytes"} if PEAK in limits else set())
        self.rungs = [0] * len(ladders)
        self.sizes = dict(wiring.sizes)
        cost = predict(wiring, self.sizes)
        limit = limits.get(PEAK)
        self.moments = None if limit is None else Moments(wiring, [ladder.axes for ladder in ladders], limit)
        self.cost = {name: float(getattr(cost, name)) for name in limits}
        self._neighbours = [
            {j for j, other in enumerate(ladders) if set(ladder.parts).intersection(other.parts)} for ladder in ladders
        ]

    def fits(self) -> bool:
        return all(self.cost[name] <= limit for name, limit in self.limits.items())

    def at_the_end(self) -> bool:
        return all(rung == len(ladder.sizes) - 1 for rung, ladder in zip(self.rungs, self.ladders, strict=True))

    def changed(self) -> dict[str, int]:
        """New width of every axis on a lower rung."""
        return {
            n: s
            for rung, ladder in zip(self.rungs, self.ladders, strict=True)
            if rung
            for n, s in ladder.sizes[rung].items()
        }

    def down(self) -> Iterator[None]:
        """Step by step to the narrowest widths."""
        prices: dict[int, float] = {i: self._price(i) for i in range(len(self.ladders))}
        while not self.at_the_end():
            best = min(prices, key=lambda i: (prices[i], i))
            if (price := self._price(best)) > prices[best]:  # of a limit that is kept by now it saves no more
                prices[best] = price
                continue
            self._move(best, 1)
            for i in self._neighbours[best]:
                prices[i] = self._price(i)
            yield

    def give_back(self) -> None:
        """Widen again what the budget still allows, the greatest gain first."""
        while True:
            gains = []
            for i, (rung, ladder) in enumerate(zip(self.rungs, self.ladders, strict=True)):
                if rung:
                    added, _ = self._difference(i, -1)
                    if all(self.cost[name] + added[name] <= limit for name, limit in self.limits.items()):
                        gains.append((ladder.errors[rung] - ladder.errors[rung - 1], -i))
            if not gains:
                return
            self._move(-max(gains)[1], -1)

    def _difference(self, i: int, step: int) -> tuple[dict[str, float], np.ndarray | None]:
        """How the costs change when one ladder is stepped; and what is held then during each call, if that counts."""
        after = {**self.sizes, **self.ladders[i].sizes[self.rungs[i] + step]}
        changes = dict.fromkeys(self._added, 0.0)
        for part in self.ladders[i].parts:
            then, now = part.cost(after), part.cost(self.sizes)
            for name in self._added:
                changes[name] += getattr(then, name) - getattr(now, name)
        if self.moments is None:
            return changes, None
        held = self.moments.after(i, self.sizes, after, changes["bytes"])
        changes[PEAK] = float(held.max()) - self.cost[PEAK]
        return changes, held

    def _price(self, i: int) -> float:
        """Error added by the next step down, per share of the limits that are exceeded."""
        ladder, rung = self.ladders[i], self.rungs[i]
        if rung == len(ladder.sizes) - 1:
            return float("inf")
        changes, held = self._difference(i, 1)
        exceeded = [n for n in self.limits if n != PEAK and self.cost[n] > self.limits[n]]
        saved = -sum(changes[n] / self.limits[n] for n in exceeded)
        if self.moments is not None and held is not None:
            saved += self.moments.relief(held)
        added = ladder.errors[rung + 1] - ladder.errors[rung]
        return added / saved if saved > 0 else 1e30 * (1 + added)

    def _move(self, i: int, step: int) -> None:
        changes, held = self._difference(i, step)
        for name in self.limits:
            self.cost[name] += changes[name]
        if self.moments is not None and held is not None:
            self.moments.now = held
        self.rungs[i] += step
        self.sizes |= self.ladders[i].sizes[self.rungs[i]]
