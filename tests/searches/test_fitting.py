"""Any structure is brought under a limit, and close to it."""

from __future__ import annotations

from random import Random

import pytest

from netsmith.searches.fitting import fitted
from netsmith.searches.space import Space
from netsmith.searches.structure import Structure, structure
from search_problems import problem

INNER = [f"blocks.{i}.wide.weight:0" for i in range(3)]


@pytest.mark.parametrize("chosen", [Structure(), structure(dict.fromkeys(INNER, 1)), structure({INNER[0]: 2})])
def test_it_fits_and_is_close(chosen: Structure) -> None:
    found = problem(Space(steps=16))
    limits = found.limits[0]
    made = fitted(found, chosen, limits, Random(0))
    assert made is not None
    assert 0.85 < found.excess(made, limits) <= 1
    assert made == fitted(found, chosen, limits, Random(0))


def test_proportions_are_kept() -> None:
    found = problem(Space(steps=16))
    made = fitted(found, structure({INNER[0]: 4}), found.limits[0], Random(0))
    assert made is not None
    widths = dict(made.widths)
    assert widths[INNER[0]] < widths[INNER[1]] and widths[INNER[0]] < widths[INNER[2]]


def test_what_fits_stays_full() -> None:
    found = problem(Space(steps=8))
    assert fitted(found, structure({INNER[0]: 8}), {"macs": 1e9}, Random(0)) == Structure()


def test_nothing_fits() -> None:
    found = problem(Space(steps=8))
    assert fitted(found, Structure(), {"macs": 1.0}, Random(0)) is None
