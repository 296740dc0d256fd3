"""The whole job: widen, deepen, verify, measure."""

from __future__ import annotations

import pytest
import torch

import netsmith
from block_networks import images, stacked
from netsmith.errors import InputError
from netsmith.evidence import influence
from netsmith.recipes import grow
from netsmith.searches.axis_influence import axis_influence

DATA = [torch.randn(16, 3, 5, 5, generator=torch.Generator().manual_seed(i)) for i in range(2)]


def test_the_whole_job() -> None:
    model = stacked()
    stages: list[str] = []
    result = grow(
        model,
        images(2),
        widen={"*": 2.0},
        deepen=2,
        where="influence",
        data=DATA,
        evaluate=lambda candidate: -float((candidate(DATA[0]) - model(DATA[0])).abs().max()),
        progress=lambda what, done, total: stages.append(what),
    )
    assert list(dict.fromkeys(stages)) == ["trace", "influence", "plan", "verify", "measure"]
    assert [step.name for step in result.steps] == ["original", "grow"]
    before, after = result.steps
    assert after.cost.params > 1.5 * before.cost.params and abs(after.scores["score"]) < 1e-5
    measured = influence(netsmith.trace(model, images(2)), DATA)
    items = sorted((name for name in measured if name.startswith("blocks.")), key=lambda name: -measured[name])
    inserted = {edit.block for step in result.plan.steps for edit in step.insertions}
    assert inserted == set(items[:2])
    assert result.verdict.ok and netsmith.verify(model, result.model, result.plan, images(2))


def test_axes_of_more_influence_get_wider() -> None:
    model = stacked()
    wiring = netsmith.trace(model, images(2))
    measured = axis_influence(wiring, DATA)
    result = grow(model, images(2), widen={"*": 3.0}, where="influence", data=DATA)
    wider = {edit.axis: len(edit.source) / wiring.sizes[edit.axis] for edit in result.plan.edits}
    most = max(measured, key=lambda name: measured[name])
    assert wider[most] == 3.0
    for name, value in measured.items():
        assert abs(wider.get(name, 1.0) - (1 + 2 * value / measured[most])) <= 0.5 / wiring.sizes[name] + 1e-9
    assert len({round(factor, 3) for factor in wider.values()}) > 1
    assert result.verdict.ok


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match=r"model is a str; give a torch\.nn\.Module"):
        grow("resnet", images(2), deepen=1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="give widen"):
        grow(stacked(), images(2))
    plain = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.ReLU())
    with pytest.raises(InputError, match="measures blocks with a shortcut, and there are none"):
        grow(plain, images(2), deepen=1, where="influence", data=DATA)
    for data in (None, iter(DATA)):
        with pytest.raises(InputError, match="measures on data"):
            grow(stacked(), images(2), deepen=1, where="influence", data=data)
