"""Recipes that make sense, and every fault with its line and the way out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsmith.errors import InputError, NetsmithError
from netsmith.recipes.reading import read_recipe, read_text

GOOD = """
model: nets.py:model
input: 1,1,8,8
data: digits
steps:
  - cut: {blocks: 2}
  - prune: {budget: {macs: 50%}, name: small}
  - prune: {budget: {params: 1000}, from: original}
  - distil: {epochs: 1, lr: 1e-3, precision: no, from: small}
  - evaluate: {data: "digits:test"}
  - report
"""


def test_a_recipe() -> None:
    recipe = read_text(GOOD, "r.yaml")
    assert recipe.head.input == (1, 1, 8, 8) and recipe.head.seed == 0
    assert [(s.kind, s.name, s.source) for s in recipe.steps] == [
        ("cut", "cut", "original"),
        ("shrink", "small", "cut"),
        ("shrink", "prune", "original"),
        ("distil", "distil", "small"),
        ("evaluate", "evaluate", "distil"),
        ("report", "report", "distil"),
    ]
    distil: Any = recipe.steps[3].options
    assert distil.lr == 0.001 and distil.precision == "no"
    assert recipe.eval is not None and recipe.eval.name == "digits:validation"
    asked = recipe.asked()
    assert json.loads(json.dumps(asked)) == asked
    assert asked["steps"][0]["cut"]["influence"] == "divergence"
    assert read_recipe({"model": "a:b", "data": "digits", "steps": ["evaluate"]}).steps[0].kind == "evaluate"


def test_whom_a_distilled_model_learns_from() -> None:
    start = "model: a:b\ndata: digits\nsteps:\n"
    chains = {
        "  - cut: {blocks: 1}\n": "original",
        "  - finetune: {epochs: 1}\n  - cut: {blocks: 1}\n": "finetune",
        "  - cut: {blocks: 1}\n  - finetune: {epochs: 1}\n": "original",
        "": "original",
    }
    for chain, teacher in chains.items():
        recipe = read_text(start + chain + "  - distil: {epochs: 1}\n", "r.yaml")
        assert recipe.teacher_of(recipe.steps[-1]) == teacher


def fault(text: str) -> str:
    with pytest.raises(InputError) as caught:
        read_text(text, "r.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("cutt: {}", "there is no step 'cutt'; did you mean 'cut'? There are shrink, prune, cut,"),
        ("frobnicate: {}", "there is no step 'frobnicate'; there are shrink,"),
        ("cut: {blcks: 2}", "'blcks' is no option of cut; did you mean 'blocks'? There are name, from, data, blocks,"),
        ("cut: {blocks: 1, influence: cosin}", "influence is 'cosin'; it may be 'divergence', 'cosine', 'taylor'"),
        ("cut: {blocks: 0}", "blocks must be greater than or equal to 1, not 0"),
        ("cut: {blocks: true}", "blocks must be a valid integer, not True"),
        ("cut: {blocks: 2.5}", "blocks must be a valid integer, not 2.5"),
        ("cut: {}", "cut takes one of blocks, budget and threshold"),
        ("cut: 3", "cut takes options by name"),
        ("{a: 1, b: 2}", "a step is one name with its options"),
        ("shrink: {}", "shrink needs budget"),
        ("prune: {budget: {macs: yes}}", 'budget.macs must be a number, or a share such as 0.5 or "50%", not True'),
        ("prune: {budget: {macs: -1}}", "macs=-1 must be positive"),
        ("prune: {budget: {flops: 0.5}}", "'budget.flops' is no option of prune"),
        ("prune: {budget: {}}", "the budget limits nothing"),
        ("cut: {budget: {macs: 200%}}", "a budget of macs=200% is more than the model costs; give a share up to 100%"),
        ("search: {budgets: [{macs: 0.5}, {params: 150%}]}", "a budget of params=150% is more than the model costs"),
        ("regularize: {epochs: 1}", "regularize needs strength: how hard group_lasso presses"),
        (
            "regularize: {epochs: 1, penalty: growing}",
            "takes a budget with penalty: growing, and only with that",
        ),
        ("regularize: {epochs: 1, strength: 1, patience: 2}", "takes no patience and validate_every"),
        ("regularize: {epochs: 1, strength: 1, penalty: l3}", "penalty is 'l3'; it may be 'group_lasso', 'slimming',"),
        ("finetune: {epochs: 1, lr: fast}", "lr must be a valid number, not 'fast'"),
        ("finetune: {epochs: 1, lr: -1}", "lr must be a positive number, not -1.0"),
        ("finetune: {epochs: 1, lr: .inf}", "lr must be a finite number"),
        ("finetune: {}", "give epochs or steps, one of the two"),
        ("merge: {exact: false}", "merge has nothing to do"),
        ("merge: {pairs: 1, threshold: 0.9}", "takes one of pairs and threshold"),
        ('grow: {widen: {"*": true}}', "widen.* must be a factor with a point (1.5) or a number of units (96)"),
        ("grow: {}", "grow takes widen"),
        ("grow: {deepen: 1, where: 3}", "where must be even, influence, or a list of blocks' names, not 3"),
        ("sparsify: {share: 0.5, threshold: 1}", "sparsify takes one of threshold, share and pattern"),
        ("quantize: {scheme: int2}", "scheme is 'int2'; it may be 'int8', 'int4', 'dynamic-int8'"),
        ("ensemble: {members: [original], kind: cascade}", "takes one of target_accuracy and target_cost"),
        ("ensemble: {members: [original, original]}", "names a member twice"),
        ("ensemble: {members: []}", "members"),
        ("search: {}", "search needs budgets"),
        ("search: {budgets: []}", "search needs one budget at least"),
        ("search: {budgets: {macs: 0.5}, strategy: luck}", "search has no strategy 'luck'; there are allocation,"),
        ("search: {budgets: [{macs: 0.5}], space: {widths: false}}", "the space is empty"),
        ("search: {budgets: [{macs: 0.5}], space: {depths: true}}", "'space.depths' is no option of search"),
        ("export: {to: tflite}", "to is 'tflite'; it may be 'onnx', 'openvino', 'torch-export', 'executorch'"),
        (
            "evaluate: {engines: tvm}",
            "evaluate has no engine 'tvm'; there are eager, compile, onnxruntime, ",
        ),
        ("evaluate: {int8: true}", "evaluate takes int8 with engines"),
        ("evaluate: {data: {nam: x}}", "evaluate needs data.name"),
        ("cut: {blocks: 1, from: nothing}", "'nothing' is no earlier step with a model; there are original"),
        ("cut: {blocks: 1, name: original}", "name 'original' is taken"),
        ("cut: {blocks: 1, name: ../up}", "name"),
        ("distil: {epochs: 1, teacher: nobody}", "'nobody' is no earlier step"),
        ("cut: {blocks: 1, data: null}", "cut needs data to measure influence; give data: here or above the steps"),
        ("prune: {budget: {macs: 50%}, depth: true, data: null}", "shrink needs data to measure which blocks may go"),
        ("sparsify: {share: 0.5, criterion: wanda, data: null}", "sparsify needs data to compute criterion wanda"),
    ],
)
def test_a_fault_in_a_step_names_its_line(step: str, message: str) -> None:
    said = fault(f"model: a:b\ndata: digits\nsteps:\n  - inspect\n  - {step}\n")
    assert message in said
    assert said.startswith("r.yaml, line 5: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a recipe is a mapping with model and steps"),
        ("[1]", "a recipe is a mapping"),
        ("model: a:b", "steps must be a list"),
        ("model: a:b\nsteps: {cut: 1}", "line 2: steps must be a list"),
        ("steps: [inspect]", "recipe needs model"),
        ("model: a:b\ndat: x\nsteps: [inspect]", "line 2: 'dat' is no option of recipe; did you mean 'data'?"),
        ("model: 3\nsteps: [inspect]", "line 1: model must be a valid string, not 3"),
        ("model: a:b\ninput: 1,a\nsteps: [inspect]", "line 2: input must be a shape, batch first"),
        ("model: a:b\nseed: -1\nsteps: [inspect]", "line 2: seed must be greater than or equal to 0"),
        ("model: a:b\nsteps: [evaluate]", "line 2: evaluate needs data; give data: here, or eval: above the steps"),
    ],
)
def test_faults_above_the_steps(text: str, message: str) -> None:
    assert message in fault(text)


def test_what_comes_after_integers_and_after_an_ensemble() -> None:
    start = "model: a:b\ndata: digits\nsteps:\n  - quantize: {scheme: int8}\n"
    said = fault(start + "  - finetune: {epochs: 1}\n")
    assert said == (
        "r.yaml, line 5: finetune comes after quantize, but integers are not changed further; quantize last"
    )
    read_text(start + "  - finetune: {epochs: 1, from: original}\n", "r.yaml")
    said = fault(start + "  - ensemble: {members: [original, quantize]}\n  - inspect\n")
    assert said == "r.yaml, line 6: inspect cannot work on an ensemble; put it before, or say from:"


def test_all_faults_are_told_at_once_in_the_order_of_lines() -> None:
    said = fault("model: 3\nsteps:\n  - cutt\n  - shrink\nseed: x\n")
    assert [line.partition(":")[0] for line in said.splitlines()] == [f"r.yaml, line {n}" for n in (1, 3, 4, 5)]


def test_faults_of_a_mapping_name_the_place() -> None:
    with pytest.raises(InputError, match=r"^recipe, steps.0.cut.blcks: 'blcks' is no option"):
        read_recipe({"model": "a:b", "data": "digits", "steps": [{"cut": {"blcks": 1}}]})
    with pytest.raises(InputError, match="a recipe is a file or a mapping, not int"):
        read_recipe(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="3 is no name of an option"):
        read_recipe({"model": "a:b", 3: 4, "steps": ["inspect"]})  # type: ignore[dict-item]


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(kind=st.sampled_from(["cut", "shrink", "finetune", "ensemble", "export"]), options=plain, more=plain)
def test_whatever_is_written_there_ends_in_a_recipe_or_one_clear_error(kind: str, options: Any, more: Any) -> None:
    try:
        read_recipe({"model": "a:b", "data": "digits", "eval": more, "steps": [{kind: options}, more]})
    except NetsmithError as error:
        assert str(error)


def test_the_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("model: a:b\nsteps: [nothing]\n")
    with pytest.raises(InputError) as caught:
        read_recipe(file)
    assert str(caught.value).startswith(f"{file}, line 2: there is no step 'nothing'")
