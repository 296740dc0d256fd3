"""What every strategy promises: budgets kept, trials counted, the same proposals for the same seed."""

from __future__ import annotations

import pytest

from netsmith.searches.space import Space
from netsmith.searches.strategies import STRATEGIES
from netsmith.searches.strategies.generations import GENERATION
from search_problems import Judged, problem

NAMES = sorted(STRATEGIES)
SEARCHING = [name for name in NAMES if name != "uniform"]
SPACE = Space(depth=True, steps=8)


def judged(name: str, trials: int, seed: int = 0, space: Space = SPACE) -> Judged:
    found = problem(space, (0.6, 0.3))
    judge = Judged(found, trials)
    STRATEGIES[name](found, judge, trials, seed)
    return judge


@pytest.mark.parametrize("name", NAMES)
def test_proposals_keep_their_budget(name: str) -> None:
    judge = judged(name, 24)
    for budget, generation in judge.generations:
        limits = judge.problem.limits[0 if budget is None else budget]
        for chosen in generation:
            assert judge.problem.excess(chosen, limits) <= 1, f"{chosen} of budget {budget}"


@pytest.mark.parametrize("name", SEARCHING)
def test_trials_are_used_up_and_no_more(name: str) -> None:
    judge = judged(name, 21)
    assert len(judge.asked) <= 21
    assert len(set(judge.asked)) >= 12
    assert max(len(generation) for _, generation in judge.generations) <= GENERATION
    if name != "nsga2":
        shares = [sum(len(g) for b, g in judge.generations if b == budget) for budget in (0, 1)]
        assert 11 >= shares[0] >= 6 and 10 >= shares[1] >= 6


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides(name: str) -> None:
    assert judged(name, 16).generations == judged(name, 16).generations
    if name in SEARCHING:
        assert judged(name, 16, seed=1).asked != judged(name, 16).asked


@pytest.mark.parametrize("name", NAMES)
def test_a_block_is_dealt_with_in_one_way(name: str) -> None:
    judge = judged(name, 48, space=Space(depth=True, operators=("linear",), steps=8))
    cuts = [chosen.cut for chosen in judge.asked]
    blocks = [[choice.partition(" ")[0] for choice in cut] for cut in cuts]
    assert all(len(set(each)) == len(each) for each in blocks)
    if name in SEARCHING:
        assert any(" as " in choice for cut in cuts for choice in cut)
        assert any(" as " not in choice for cut in cuts for choice in cut)


@pytest.mark.parametrize("name", ["allocation", "evolution", "tpe"])
def test_what_is_found_steers_what_is_proposed(name: str) -> None:
    """The judge likes wide inner layers; later generations do better than the first."""
    judge = judged(name, 96, space=Space(steps=8))
    values = [judge.candidate(chosen, b).value for b, g in judge.generations if b == 0 for chosen in g]
    assert max(values[GENERATION:]) > max(values[:GENERATION])


@pytest.mark.parametrize("name", NAMES)
def test_nothing_more_is_proposed_when_the_time_is_up(name: str) -> None:
    found = problem(SPACE, (0.6, 0.3))
    asked: list[int] = []

    def over(structures: object, budget: int | None) -> list[object]:
        asked.append(1)
        return []

    STRATEGIES[name](found, over, 1000, 0)  # type: ignore[arg-type]
    assert len(asked) <= len(found.limits)


@pytest.mark.parametrize("name", SEARCHING)
def test_only_blocks(name: str) -> None:
    judge = judged(name, 8, space=Space(widths=False, depth=True))
    assert all(chosen.cut and not chosen.widths for chosen in judge.asked)


def test_a_budget_that_nothing_keeps() -> None:
    found = problem(SPACE, (1e-6,))
    for name in NAMES:
        judge = Judged(found)
        STRATEGIES[name](found, judge, 8, 0)
        assert judge.asked == []


def test_allocation_starts_with_the_division_by_the_curves() -> None:
    judge = judged("allocation", 8, space=Space(only=("blocks.*",)))
    widths = dict(judge.asked[0].widths)
    # errors of the later blocks grow faster
    assert widths["blocks.0.wide.weight:0"] < widths.get("blocks.2.wide.weight:0", 16)


def test_uniform_is_one_structure_a_budget() -> None:
    judge = judged("uniform", 100, space=Space(steps=16))
    assert [budget for budget, _ in judge.generations] == [0, 1]
    for chosen in judge.asked:
        inner = [width for axis, width in chosen.widths if "wide" in axis]
        assert max(inner) - min(inner) <= 2
