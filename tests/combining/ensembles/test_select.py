"""Every kind, judged on examples that fitted nothing."""

from __future__ import annotations

import pytest

import netsmith
from ensemble_members import batches, data, trained
from netsmith.combining.ensembles import Cascade, evaluate, select
from netsmith.combining.ensembles.select import KINDS
from netsmith.errors import BudgetError, InputError

X = data().test.images[:1]


def test_every_kind_is_tried_and_the_front_is_a_front() -> None:
    found = select(trained(), batches(), example_inputs=X, judge_on=batches("test"))
    assert {c.kind for c in found.candidates} == set(KINDS)
    costs = [c.quality.mean_macs for c in found.candidates]
    assert costs == sorted(costs)
    front = [c.quality for c in found.front]
    assert front == sorted(front, key=lambda q: q.mean_macs)
    assert [q.accuracy for q in front] == sorted(q.accuracy for q in front)
    for candidate in found.candidates:
        beaten = any(
            o.quality.accuracy > candidate.quality.accuracy and o.quality.mean_macs < candidate.quality.mean_macs
            for o in found.candidates
        )
        assert not (beaten and candidate.on_front)
    assert found.best.quality.accuracy == max(q.accuracy for q in front)


def test_what_is_judged_on_records_is_what_the_models_do() -> None:
    found = select(trained(), batches(), example_inputs=X, judge_on=batches("test"))
    kinds = {candidate.kind: candidate for candidate in found.candidates}
    for candidate in kinds.values():
        ours = evaluate(candidate.model, batches("test"), X)
        for key, value in candidate.quality.as_dict().items():
            assert value == pytest.approx(getattr(ours, key), rel=1e-4, abs=1e-4), f"{candidate.name} {key}"
    assert isinstance(kinds["cascade"].model, Cascade)


def test_a_budget() -> None:
    found = select(
        trained(),
        batches(),
        example_inputs=X,
        kinds=("single", "parallel", "cascade"),
        budget=netsmith.Budget(macs=0.5),
    )
    whole = sum(netsmith.measure(model, X).macs for model in trained().values())
    for candidate in found.candidates:
        assert candidate.within == (candidate.quality.mean_macs <= 0.5 * whole)
    assert found.best.within
    none = select(trained(), batches(), example_inputs=X, kinds=("single",), budget=netsmith.Budget(bytes=10))
    with pytest.raises(BudgetError, match="no ensemble and no single member is within the budget"):
        none.best  # noqa: B018


def test_one_member_and_unknown_kinds() -> None:
    alone = select({"tiny": trained()["tiny"]}, batches(), example_inputs=X)
    assert [c.kind for c in alone.candidates] == ["single"]
    with pytest.raises(InputError, match="unknown kinds 'vote'; there are single, parallel"):
        select(trained(), batches(), example_inputs=X, kinds=["vote"])
