"""Brings any structure under a limit, and close to it."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from .problem import Problem
from .structure import Structure, structure

_BISECTIONS = 14


def fitted(problem: Problem, chosen: Structure, limits: Mapping[str, float], rng: Random) -> Structure | None:
    """The structure with all its widths scaled alike until it just fits, then widened axis by axis while it does.

    No axis gets wider than it is in the original, or than the structure says where that is wider.

    Args:
        problem: knows menus and costs.
        chosen: any structure from its menus.
        limits: cost -> most.
        rng: draws the order in which axes are widened.

    Returns:
        A structure that fits, or None where even the narrowest widths do not.
    """
    menus = problem.view(chosen.cut).menus
    wanted = {menu.name: dict(chosen.widths).get(menu.name, menu.full) for menu in menus}
    most = {menu.name: max(wanted[menu.name], menu.full) for menu in menus}

    def scaled(share: float) -> Structure:
        widths = {m.name: m.nearest(min(wanted[m.name] * share, most[m.name])) for m in menus}
        return structure(widths, chosen.cut, chosen.precision)

    low, high = 0.0, max((most[name] / width for name, width in wanted.items()), default=1.0)
    if problem.excess(scaled(high), limits) <= 1:
        return problem.plain(scaled(high))
    if problem.excess(scaled(low), limits) > 1:
        return None
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if problem.excess(scaled(middle), limits) <= 1 else (low, middle)
    return problem.plain(_filled(problem, scaled(low), limits, most, rng))


def _filled(
    problem: Problem, now: Structure, limits: Mapping[str, float], most: Mapping[str, int], rng: Random
) -> Structure:
    menus = list(problem.view(now.cut).menus)
    widths = dict(now.widths)
    rng.shuffle(menus)
    while menus:
        able = []
        for menu in menus:
            wider = [w for w in menu.widths if widths[menu.name] < w <= most[menu.name]]
            if not wider:
                continue
            tried = structure({**widths, menu.name: wider[-1]}, now.cut, now.precision)
            if problem.excess(tried, limits) <= 1:
                widths = dict(tried.widths)
                able.append(menu)
        menus = able
    return structure(widths, now.cut, now.precision)
