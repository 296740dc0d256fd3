"""The best structure under each budget, from one call."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import netsmith
from netsmith.errors import BudgetError, EvidenceError, InputError, ModelError, UnknownNameError
from netsmith.plans import Budget
from netsmith.recipes import Study, search
from netsmith.reports.record import read_run
from netsmith.reports.run_page import run_page
from netsmith.searches import Space
from netsmith.searches.structure import Structure, structure
from search_problems import accuracy, task

BUDGETS = (Budget(macs=0.7), Budget(macs=0.4))


def searched(**more: Any) -> Study:
    model, x, data = task()
    options: dict[str, Any] = {"budgets": BUDGETS, "evaluate": accuracy, "trials": 4, "finalists": 1}
    return search(model, x, **{**options, "data": data, **more})


@pytest.fixture(scope="module")
def study() -> Study:
    return searched(strategy=("allocation", "random"), heal=1, space=Space(depth=True, steps=8))


def told(study: Study) -> list[Any]:
    return [(c.name, c.structure, c.scores, c.rejected) for c in study.candidates]


def test_every_candidate_keeps_its_budget_and_was_scored(study: Study) -> None:
    whole = study.original.cost.macs
    assert {c.origin for c in study.candidates} == {"allocation", "random", "uniform"}
    for candidate in study.candidates:
        assert candidate.rejected is None and set(candidate.scores) == {"accuracy", "loss"}
        assert candidate.budget in (0, 1)
        assert candidate.cost.macs <= (0.7, 0.4)[candidate.budget or 0] * whole
    assert len({c.name for c in study.candidates}) == len(study.candidates)
    assert [c.healed for c in study.final] == [True] * len(study.final)


def test_the_front_and_the_best(study: Study) -> None:
    front = study.front()
    assert [c.cost.macs for c in front] == sorted(c.cost.macs for c in front)
    assert [c.value for c in front] == sorted(c.value for c in front)
    best = study.best(Budget(macs=0.4))
    assert best == study.best(1) and best.cost.macs <= 0.4 * study.original.cost.macs
    assert best.value == max(c.value for c in study.final if c.cost.macs <= 0.4 * study.original.cost.macs)
    assert study[best.name] is best and best.name in str(study)
    assert study.front("params", "accuracy")


def test_any_point_is_built_as_it_was_judged(study: Study) -> None:
    model, _, _ = task()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for candidate in (*study.front(), study.candidates[0]):
        result = study.build(candidate)
        assert result.verdict, str(result.verdict)
        assert accuracy(result.model) == candidate.scores
        assert result.steps[-1].cost.macs == candidate.cost.macs
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


def test_saved_and_loaded(study: Study, tmp_path: Path) -> None:
    study.save(tmp_path / "study")
    run = read_run(tmp_path / "study")
    assert run.kind == "search" and run.objectives == ("macs", "accuracy")
    assert [c.name for c in run.candidates] == [c.name for c in study.candidates]
    assert {c.name for c in run.candidates if c.on_front} == {c.name for c in study.front()}
    assert {c.name for c in run.candidates if c.chosen} == {study.best(0).name, study.best(1).name}
    points = [c for c in run.candidates if c.plan is not None]
    assert points
    for point in points:
        folder = (tmp_path / "study" / str(point.plan)).parent
        loaded = netsmith.load(folder, lambda: task()[0])
        assert accuracy(loaded) == study[point.name].scores
    written = json.loads((tmp_path / "study" / "candidates.json").read_text())
    assert len(written) == len(study.candidates) and written[0]["structure"]["cut"] == []
    study.save(tmp_path / "study")  # again, in the same place
    assert study.record(title="again").title == "again"


def test_the_same_seed_gives_the_same_study_on_two_processes_and_after_a_stop(tmp_path: Path) -> None:
    options: dict[str, Any] = {"seed": 3, "budgets": BUDGETS[:1], "trials": 2}
    alone = searched(**options)
    assert told(searched(**options, workers=2)) == told(alone)
    searched(**{**options, "trials": 1}, storage=tmp_path / "kept")  # as if it had been killed after the first
    assert (tmp_path / "kept" / "trials.db").is_file()
    assert told(searched(**options, storage=tmp_path / "kept")) == told(alone)
    calls: list[int] = []

    def counted(model: nn.Module) -> Any:
        calls.append(1)
        return accuracy(model)

    assert told(searched(**options, storage=tmp_path / "kept", evaluate=counted)) == told(alone)
    assert len(calls) == 1  # the original; all trials were found


def test_without_evaluate_the_outputs_decide() -> None:
    found = searched(evaluate=None)
    assert found.objective == "divergence" and not found.maximize
    best = found.best(0)
    assert best.scores == {"divergence": best.divergence} and best.value == -best.scores["divergence"]


@pytest.mark.parametrize("share", [1.015, 1.025])
def test_a_timing_just_above_the_limit_keeps_it(study: Study, share: float) -> None:
    """Finalists are timed with this tolerance; one that is kept must not lose to a worse one that is faster."""
    whole = replace(study.original.cost, latency_ms=10.0)
    times = (6 * share, 4.0)
    first, second = (
        replace(c, cost=replace(c.cost, latency_ms=t)) for c, t in zip(study.final[:2], times, strict=True)
    )
    timed = replace(study, original=replace(study.original, cost=whole), candidates=(first, second))
    wanted = first if share < 1.02 else second
    assert timed.best(Budget(latency_ms="60%")).name == wanted.name


def test_minimize_a_score() -> None:
    found = searched(minimize="loss", trials=2)
    assert found.objective == "loss" and not found.maximize
    assert all(c.value == -c.scores["loss"] for c in found.candidates)


def test_the_best_of_each_strategy_is_healed_from_both_repairs(study: Study) -> None:
    for budget in (0, 1):
        for origin in ("allocation", "random", "uniform"):
            same = [c for c in study.final if (c.budget, c.origin) == (budget, origin)]
            together = [c for c in same if study.specs[c.name]["finely"]]
            alone = [c for c in same if not study.specs[c.name]["finely"]]
            assert len(together) == 1
            assert [c.structure for c in alone] == [together[0].structure] * bool(together[0].structure.widths)
    assert any(not study.specs[c.name]["finely"] for c in study.final)


def test_healing_that_makes_it_worse_is_undone() -> None:
    def ruin(edited: nn.Module, original: nn.Module) -> nn.Module:
        with torch.no_grad():
            for parameter in edited.parameters():
                parameter.zero_()
        return edited

    def loss(model: nn.Module) -> float:
        _, x, _ = task()
        return -float((model(x) - task()[0](x)).square().mean())

    ruined, plain = (searched(evaluate=loss, heal=heal, trials=2) for heal in (ruin, None))
    together = [c for c in ruined.final if ruined.specs[c.name]["finely"]]
    assert [c.scores for c in together] == [c.scores for c in plain.final]


def test_integers_and_growth() -> None:
    pytest.importorskip("torchao")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3)).eval()
    _, x, data = task()

    def propose(problem: Any, judge: Any, trials: int, seed: int) -> None:
        judge([structure({"0.weight:0": 96, "2.weight:0": 16}, precision="int8"), Structure(precision="int8")], 0)

    space = Space(growth=(1.5,), precision=("int8",), steps=4)
    found = search(model, x, data=data, space=space, strategy=propose, budgets=Budget(params=1.0), finalists=1)
    grown, integers = found.candidates[:2]
    assert grown.origin == "propose" and grown.rejected is None and integers.rejected is None
    assert integers.cost.bytes < 0.5 * found.original.cost.bytes
    built = found.build(grown)
    assert built.verdict and built.plan.before and built.plan.precisions
    assert built.model[0].bias.shape == (96,) and built.model[2].bias.shape == (16,)  # type: ignore[index, union-attr]


def test_a_map_in_place_of_a_block(tmp_path: Path) -> None:
    def propose(problem: Any, judge: Any, trials: int, seed: int) -> None:
        judge([structure({"blocks.0.wide.weight:0": 6}, ("blocks.1 as linear", "blocks.2")), structure({}, ())], 0)

    space = Space(depth=True, operators=("linear",), steps=8)
    found = searched(space=space, strategy=propose, budgets=Budget(macs=1.0), heal=1)
    mapped, whole = found.candidates[:2]
    assert mapped.rejected is None and mapped.cost.macs < whole.cost.macs
    built = found.build(mapped)
    blocks = built.model.blocks  # type: ignore[union-attr]
    assert built.verdict and isinstance(blocks[0].wide, nn.Linear) and len(blocks) == 2  # type: ignore[arg-type, index]
    assert isinstance(blocks[1], nn.Linear) and blocks[0].wide.out_features == 6  # type: ignore[index, union-attr]
    assert netsmith.measure(built.model, found.workbench.example_inputs).macs == mapped.cost.macs
    assert "blocks.1 as linear" in str(mapped.structure)
    found.save(tmp_path / "study")
    assert "affine map" in run_page(read_run(tmp_path / "study"))
    found = searched(space=space, strategy="evolution", trials=6)
    assert all(candidate.rejected is None for candidate in found.candidates)


def test_a_budget_of_peak_memory(tmp_path: Path) -> None:
    found = searched(budgets=Budget(peak_bytes="70%"), strategy=("allocation", "evolution"), trials=2)
    whole = found.original.cost.peak_bytes
    assert whole is not None and found.cost == "peak_bytes"
    for candidate in found.candidates:
        assert candidate.rejected is None and candidate.cost.peak_bytes <= 0.7 * whole
        assert netsmith.measure(found.build(candidate).model, found.workbench.example_inputs) == candidate.cost
    assert found.front("peak_bytes") and "peak bytes" in str(found)
    found.save(tmp_path / "study")
    run = read_run(tmp_path / "study")
    assert run.objectives[0] == "peak_bytes"
    assert all(each.cost.peak_bytes is not None for each in run.candidates)
    page = run_page(run)
    assert "peak memory" in page and "peak bytes" in page
    with pytest.raises(BudgetError, match="no candidate keeps"):
        found.best(Budget(peak_bytes=10))


def test_time_that_is_up_and_failing_candidates() -> None:
    assert {c.origin for c in searched(time=0.0).candidates} == {"uniform"}
    calls: list[int] = []

    def fails(model: nn.Module) -> float:
        calls.append(1)
        if len(calls) > 1:
            raise RuntimeError("the disk is full")
        return 0.5

    found = searched(evaluate=fails)
    assert all("the disk is full" in str(c.rejected) for c in found.candidates)
    with pytest.raises(BudgetError, match="no candidate keeps Budget"):
        found.best(0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"budgets": ()}, InputError, r"give one or several, e.g. \[Budget\(macs=0.5\), Budget\(macs=0.25\)\]"),
        ({"budgets": 0.5}, InputError, "budgets=0.5; give one or several"),
        (
            {"strategy": "annealing"},
            UnknownNameError,
            "there is no strategy 'annealing'; there are allocation, evolution",
        ),
        ({"strategy": ("random", "random")}, InputError, "give one or several, each once"),
        ({"strategy": (3,)}, InputError, "strategy=3 is no name and no function"),
        ({"trials": 0}, InputError, "trials=0 must be an int ≥ 1"),
        ({"seed": -1}, InputError, "seed=-1 must be an int ≥ 0"),
        ({"heal": 0}, InputError, "heal=0: give a number of epochs ≥ 1"),
        ({"evaluate": 3}, InputError, "evaluate is a int; give a function model -> score"),
        ({"evaluate": lambda m: "good"}, InputError, "evaluate returned 'good'"),
        ({"maximize": "f2"}, UnknownNameError, "evaluate gives no score 'f2'; it gives accuracy, loss"),
        ({"maximize": "loss", "minimize": "loss"}, InputError, "give one of maximize and minimize"),
        ({"data": iter([])}, InputError, "data is an iterator that can be gone through once"),
        ({"data": []}, EvidenceError, "data is empty"),
        (
            {"engine": "tpu", "budgets": Budget(latency_ms=0.9)},
            UnknownNameError,
            "there is no engine or precision 'tpu'",
        ),
        (
            {"space": Space(widths=False, depth=True), "budgets": Budget(latency_ms=0.9)},
            InputError,
            "a budget of latency is kept by widths",
        ),
        ({"storage": __file__ + "/store"}, InputError, "is no folder that can be made"),
    ],
)
def test_bad_input(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        searched(**options)


def test_broken_models_and_foreign_candidates(study: Study) -> None:
    model, x, data = task()
    with torch.no_grad():
        model.head.weight.fill_(float("nan"))  # type: ignore[union-attr, operator]
    with pytest.raises(ModelError, match="weights are not finite"):
        search(model, x, data=data, budgets=BUDGETS)
    with pytest.raises(InputError, match="candidate is a str; give one of"):
        study.build("allocation-000")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="candidate 'original' is not of this study"):
        study.build(study.original)
    with pytest.raises(UnknownNameError, match="no candidate is called 'best'"):
        study["best"]
    with pytest.raises(UnknownNameError, match="cost='flops' is unknown"):
        study.front("flops")
    with pytest.raises(UnknownNameError, match="score='f2' is unknown; evaluate gives accuracy, loss"):
        study.front(score="f2")
    with pytest.raises(BudgetError, match="no candidate keeps"):
        study.best(Budget(macs=0.001))
    with pytest.raises(InputError, match="budget is a float"):
        study.best(0.5)  # type: ignore[arg-type]
