"""Batches and their mirror images."""

from __future__ import annotations

import sys

import pytest
import torch

import netsmith
from netsmith import Budget
from netsmith.data import mirrored
from netsmith.errors import InputError
from netsmith.recovery import Repaired, repair
from small_networks import network


def test_each_batch_is_followed_by_its_mirror_images() -> None:
    x, y = torch.arange(12.0).reshape(2, 1, 2, 3), torch.tensor([0, 1])
    data = mirrored([(x, y), x])
    for _ in range(2):  # anew each time
        (a, ya), (b, yb), c, d = data
        assert torch.equal(a, x) and torch.equal(c, x)
        assert b[0, 0].tolist() == [[2.0, 1.0, 0.0], [5.0, 4.0, 3.0]]
        assert torch.equal(d, b) and ya is y and yb is y


@pytest.mark.parametrize("batch", [torch.zeros(4, 8), {"x": torch.zeros(1, 3, 4, 4)}, ((torch.zeros(1), 2), None)])
def test_what_is_no_image_is_refused(batch: object) -> None:
    with pytest.raises(InputError, match="only images can be mirrored"):
        list(mirrored([batch]))


def test_data_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="the data is empty"):
        list(mirrored([]))


def test_shrinking_measures_images_and_repairs_with_their_mirror_images_too() -> None:
    model, x = network("residual")
    generator = torch.Generator().manual_seed(0)
    data = [torch.randn(8, *x.shape[1:], generator=generator) for _ in range(4)]
    both = [each for x in data for each in (x, x.flip(-1))]
    budget = Budget(macs=0.6)
    wiring = netsmith.trace(model, x)
    plain = netsmith.shrink(model, x, budget=budget, data=data)
    found = netsmith.shrink(model, x, budget=budget, data=mirrored(data))
    wanted = repair(wiring, plain.plan, both)
    assert found.plan.edits == plain.plan.edits
    states = [
        torch.cat([t.flatten() for t in m.state_dict().values()]) for m in (found.model, wanted.model, plain.model)
    ]
    assert torch.equal(states[0], states[1]) and not torch.equal(states[0], states[2])


def test_as_many_images_are_seen_as_without(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def told(wiring: object, repaired: Repaired, data: object, *, most_examples: int, **_: object) -> Repaired:
        seen.append(most_examples)
        return repaired

    monkeypatch.setattr(sys.modules["netsmith.recovery.repair"], "refine", told)
    model, x = network("residual")
    wiring = netsmith.trace(model, x)
    plan = netsmith.plan_removal(wiring, keep=0.5)
    data = [torch.randn(8, *x.shape[1:]) for _ in range(4)]
    repair(wiring, plan, data)
    repair(wiring, plan, mirrored(data))
    assert seen == [1024, 2048]
