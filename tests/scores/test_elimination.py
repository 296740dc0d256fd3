"""Units go in the order in which the others can stand in for them."""

from __future__ import annotations

import pytest
import torch

from netsmith.scores.elimination import Reader, eliminated, elimination_order, rising


def a_reader(x: torch.Tensor, weight: torch.Tensor, units: int) -> Reader:
    """x (rows, d), weight (d, m)."""
    covariance = x.T @ x / len(x) + 1e-9 * torch.eye(x.shape[1], dtype=x.dtype)
    columns = torch.arange(x.shape[1]).reshape(units, -1)
    return Reader(torch.linalg.inv(covariance).unsqueeze(0), weight.unsqueeze(0), columns)


def data(rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    return x, torch.randn(columns, 3, generator=generator, dtype=torch.float64)


def test_a_unit_that_others_repeat_goes_first_however_large() -> None:
    x, weight = data(200, 5)
    x[:, 2] = x[:, 0] + x[:, 4]
    weight[2] *= 10
    assert elimination_order([a_reader(x, weight, 5)], 5)[-1] in (0, 2, 4)


@pytest.mark.parametrize("wide", [1, 3])
def test_each_step_takes_the_unit_with_the_least_error_after_refitting(wide: int) -> None:
    """Against refitting without each remaining unit in turn."""
    units = 5
    x, weight = data(400, units * wide)
    mix = torch.randn(units * wide, units * wide, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = x @ mix
    order = elimination_order([a_reader(x, weight, units)], units)
    wanted, alive = x @ weight, list(range(units))
    for gone in reversed(order[1:]):

        def error(without: int) -> float:
            kept = [u * wide + i for u in alive if u != without for i in range(wide)]
            fit = torch.linalg.lstsq(x[:, kept], wanted).solution
            return float((x[:, kept] @ fit - wanted).square().sum())

        assert gone == min(alive, key=error)
        alive.remove(gone)


def test_pinned_units_stay_longest_and_every_unit_is_there_once() -> None:
    x, weight = data(50, 6)
    weight[3] = 0
    order = elimination_order([a_reader(x, weight, 6)], 6, pinned=(3,))
    assert order[0] == 3 and sorted(order) == list(range(6))


def test_several_readers_count_together() -> None:
    x, weight = data(300, 4)
    one, other = weight.clone(), weight.clone()
    one[1], other[2] = 0, 0  # each alone would drop its own
    assert elimination_order([a_reader(x, one, 4)], 4)[-1] == 1
    assert elimination_order([a_reader(x, other, 4)], 4)[-1] == 2
    other[1] = 0
    assert elimination_order([a_reader(x, one, 4), a_reader(x, other, 4)], 4)[-1] == 1


def test_what_each_step_adds_is_what_the_refit_loses() -> None:
    x, weight = data(400, 5)
    gone, added = eliminated([a_reader(x, weight, 5)], 5)
    assert sorted(gone) == list(range(5))
    wanted = x @ weight
    for i in range(1, 5):
        kept = [u for u in range(5) if u not in gone[:i]]
        fit = torch.linalg.lstsq(x[:, kept], wanted).solution
        assert sum(added[:i]) == pytest.approx(float((x[:, kept] @ fit - wanted).square().sum() / 400), rel=1e-4)
    assert sum(added) == pytest.approx(float(wanted.square().sum() / 400), rel=1e-4)


def test_pinned_units_do_not_go() -> None:
    x, weight = data(50, 4)
    gone, added = eliminated([a_reader(x, weight, 4)], 4, pinned=(0, 2))
    assert sorted(gone) == [1, 3] and len(added) == 2


def test_scores_rise_in_the_order_of_going() -> None:
    scores = rising((3, 0, 4), (0.5, 0.25, 0.5), 5)
    assert float(scores[3]) == 0.5
    assert scores.argsort().tolist()[:3] == [3, 0, 4]
    assert scores[1] == scores[2] > scores[4]
    assert float(scores.max()) == pytest.approx(0.5)
    assert rising((), (), 2).tolist() == [0, 0]
