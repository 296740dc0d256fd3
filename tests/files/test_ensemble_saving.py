"""Ensembles to folders and back: bit by bit, every kind, nested, with plans; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import netsmith
from ensemble_members import batches, convolutional, data, perceptron, trained
from netsmith.combining.ensembles import (
    Additive,
    Cascade,
    Ensemble,
    TreeEnsemble,
    Wrapped,
    blend,
    mixture,
    parallel,
    stack,
    tree_ensemble,
)
from netsmith.errors import FileError, InputError, ModelError, PlanError
from netsmith.files import load_ensemble, save_ensemble

BUILDERS = {"tiny": perceptron, "wide": lambda: perceptron(48), "conv": convolutional}


def some(*names: str) -> dict[str, nn.Module]:
    return {name: trained()[name] for name in names}


def make(kind: str) -> tuple[Ensemble, dict[str, Any]]:
    """An ensemble, and the builders that load it."""
    everyone, pair = some("tiny", "wide", "conv"), some("tiny", "conv")
    two = {name: BUILDERS[name] for name in pair}
    if kind == "parallel":
        return parallel(everyone, rule="vote", weights=[1, 2, 3]), dict(BUILDERS)
    if kind == "blend":
        made = blend(everyone, batches())
        return made, {name: BUILDERS[name] for name in made.names}
    if kind == "stack":
        return stack(pair, batches()), two
    if kind == "mixture":
        return mixture(pair, batches(), epochs=2), two
    if kind == "gated":
        return mixture(pair, batches(), gate=perceptron(4, 2), epochs=2), {**two, "gate": lambda: perceptron(4, 2)}
    if kind == "additive":
        return Additive(pair, torch.tensor([0.5, 0.25]), torch.randn(10)).eval(), two
    if kind == "nested":
        inner = parallel(everyone)
        outer = Cascade({"tiny": trained()["tiny"], "all": inner}, "margin", "mean", torch.ones(2), torch.tensor([0.5]))
        return outer.eval(), {"tiny": perceptron, **{f"all/{name}": build for name, build in BUILDERS.items()}}
    temperatures, thresholds = torch.tensor([1.5, 0.7]), torch.tensor([0.6])
    return Cascade(pair, "entropy", "last", temperatures, thresholds).eval(), two


KINDS = ["parallel", "blend", "stack", "mixture", "gated", "additive", "cascade", "nested"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_comes_back_bit_by_bit(tmp_path: Path, kind: str) -> None:
    model, builders = make(kind)
    save_ensemble(model, tmp_path / "out")
    again = load_ensemble(tmp_path / "out", builders)
    x = data().test.images
    assert type(again) is type(model)
    assert again.names == model.names
    assert not any(module.training for module in again.modules())
    with torch.no_grad():
        assert torch.equal(again(x), model(x))
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"model.safetensors", "ensemble.json", "card.md"}


def test_trees_come_back_without_a_builder(tmp_path: Path) -> None:
    from sklearn.ensemble import GradientBoostingClassifier

    train = data().train
    grown = GradientBoostingClassifier(n_estimators=2, max_depth=2, random_state=0)
    trees = tree_ensemble(grown.fit(train.images.flatten(1).numpy(), train.labels.numpy()))
    model = parallel({"trees": trees, "tiny": trained()["tiny"]})
    save_ensemble(model, tmp_path / "out")
    again = load_ensemble(tmp_path / "out", {"tiny": perceptron})
    assert isinstance(again.members[0], TreeEnsemble)
    assert torch.equal(again(data().test.images), model(data().test.images))


def test_a_pruned_member_comes_back_through_its_plan(tmp_path: Path) -> None:
    x = data().test.images
    plan = netsmith.plan_removal(netsmith.trace(trained()["conv"], x[:2]), keep=0.5)
    small = netsmith.apply(trained()["conv"], plan)
    model = parallel({"small": small, "tiny": trained()["tiny"]})
    save_ensemble(model, tmp_path / "out", plans={"small": plan})
    again = load_ensemble(tmp_path / "out", {"small": convolutional, "tiny": perceptron})
    assert torch.equal(again(x), model(x))
    assert again.members[0][0].out_channels == 2
    with pytest.raises(PlanError, match="member 'small'"):
        load_ensemble(tmp_path / "out", {"small": lambda: convolutional(6), "tiny": perceptron})
    with pytest.raises(PlanError, match="member 'tiny'"):
        save_ensemble(model, tmp_path / "other", plans={"tiny": plan})
    assert not (tmp_path / "other").exists()


def test_a_batched_ensemble_comes_back_batched_and_one_builder_serves_all(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = parallel([perceptron() for _ in range(3)]).batched()
    save_ensemble(model, tmp_path / "out")
    again = load_ensemble(tmp_path / "out", perceptron)
    assert again.stacked is not None
    assert torch.equal(again(data().test.images), model(data().test.images))


def test_the_card_shows_the_numbers_and_how_to_load(tmp_path: Path) -> None:
    model, _ = make("cascade")
    save_ensemble(model, tmp_path / "out", notes="accuracy 0.9", beside={"extra.txt": "hello"})
    card = (tmp_path / "out/card.md").read_text()
    assert "- thresholds: 0.6" in card
    assert "load_ensemble('out', {'tiny': build_0, 'conv': build_1})" in card
    assert card.endswith("## Notes\n\naccuracy 0.9\n")
    assert (tmp_path / "out/extra.txt").read_text() == "hello"


def test_what_only_pickle_could_save_is_refused(tmp_path: Path) -> None:
    model = parallel({"tiny": trained()["tiny"], "foreign": Wrapped(lambda x: x[:, :10])})
    with pytest.raises(ModelError, match="member 'foreign' wraps a Python object.*tree_ensemble.*Nothing was written"):
        save_ensemble(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_only_ensembles_and_plans_of_members(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="model is a Sequential; .*netsmith.save"):
        save_ensemble(perceptron(), tmp_path / "out")  # type: ignore[arg-type]
    plan = netsmith.plan_removal(netsmith.trace(convolutional(), data().test.images[:2]), keep=0.5)
    with pytest.raises(InputError, match="plans for 'big', but the members are tiny, conv"):
        save_ensemble(parallel(some("tiny", "conv")), tmp_path / "out", plans={"big": plan})


def test_builders_that_do_not_fit(tmp_path: Path) -> None:
    save_ensemble(parallel(some("tiny", "conv")), tmp_path / "out")
    with pytest.raises(
        InputError, match="builders are given for 'tiny'; needed is one for each of\n  'tiny': torch.nn"
    ):
        load_ensemble(tmp_path / "out", {"tiny": perceptron})
    with pytest.raises(InputError, match="no member"):
        load_ensemble(tmp_path / "out")
    with pytest.raises(InputError, match="the builder of 'conv' is a Sequential"):
        load_ensemble(tmp_path / "out", {"tiny": perceptron, "conv": convolutional()})  # type: ignore[dict-item]
    with pytest.raises(FileError, match="members.0.1.weight: 12×64 in the file, 13×64 in the model"):
        load_ensemble(tmp_path / "out", {"tiny": lambda: perceptron(13), "conv": convolutional})


def edited(folder: Path, change: Any, *, sign: bool = True) -> None:
    from netsmith.files.plan_file import checksum

    record = json.loads((folder / "ensemble.json").read_text())
    change(record)
    if sign:
        record["checksum"] = checksum({key: value for key, value in record.items() if key != "checksum"})
    (folder / "ensemble.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.update(format="other"), "no netsmith-ensemble of version 1"),
        (lambda r: r.update(version=2), "no netsmith-ensemble of version 1"),
        (lambda r: r["ensemble"].update(rule="best"), "ensemble.parallel.rule: Input should be"),
        (lambda r: r["ensemble"].update(extra=1), "extra: Extra inputs are not permitted"),
        (lambda r: r["ensemble"].update(members={}), "members: Dictionary should have at least 1 item"),
        (lambda r: r["weights"].update(sha256="0" * 64), "not the file that ensemble.json was written for"),
        (lambda r: r["ensemble"].update(kind="stack"), "ensemble.stack.features: Field required"),
    ],
)
def test_files_that_were_edited(tmp_path: Path, change: Any, message: str) -> None:
    save_ensemble(parallel(some("tiny")), tmp_path / "out")
    edited(tmp_path / "out", change)
    with pytest.raises(FileError, match=message):
        load_ensemble(tmp_path / "out", {"tiny": perceptron})


def test_an_edit_without_a_checksum_and_files_that_are_missing(tmp_path: Path) -> None:
    save_ensemble(parallel(some("tiny")), tmp_path / "out")
    edited(tmp_path / "out", lambda r: r["ensemble"].update(rule="vote"), sign=False)
    with pytest.raises(FileError, match='field "checksum" does not fit'):
        load_ensemble(tmp_path / "out", {"tiny": perceptron})
    (tmp_path / "out/ensemble.json").write_text("{")
    with pytest.raises(FileError, match="no complete JSON"):
        load_ensemble(tmp_path / "out", {"tiny": perceptron})
    with pytest.raises(FileError, match="cannot be read.*Give a folder that save_ensemble wrote"):
        load_ensemble(tmp_path / "nowhere", {"tiny": perceptron})


def test_sizes_that_a_file_claims_fill_no_memory(tmp_path: Path) -> None:
    save_ensemble(parallel({"trees": TreeEnsemble(2, 3, 10, 1, 64)}), tmp_path / "out")
    edited(tmp_path / "out", lambda r: r["ensemble"]["members"]["trees"].update(trees=2**24, nodes=2**24))
    with pytest.raises(FileError, match="in the file"):
        load_ensemble(tmp_path / "out")
