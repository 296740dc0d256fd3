"""Recipes: mergekit's YAML, and errors that name the field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from netsmith.combining import read_recipe
from netsmith.combining.merge_settings import Filtered, setting_of
from netsmith.errors import FileError, InputError

TEXT = """
slices:
  - sources:
      - model: psmathur/orca_mini_v3_13b
        layer_range: [0, 40]
      - model: garage-bAInd/Platypus2-13B
        layer_range: [0, 40]
merge_method: slerp
base_model: psmathur/orca_mini_v3_13b
parameters:
  t:
    - filter: self_attn
      value: [0, 0.5, 0.3, 0.7, 1]
    - filter: mlp
      value: [1, 0.5, 0.7, 0.3, 0]
    - value: 0.5 # fallback for rest of tensors
dtype: float16
"""


def test_reads_an_example_of_mergekit(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    (tmp_path / "gradient-slerp.yml").write_text(TEXT)
    recipe = read_recipe(tmp_path / "gradient-slerp.yml")
    assert recipe.merge_method == "slerp"
    assert recipe.slices is not None
    assert recipe.slices[0].sources[1].layer_range == [0, 40]
    assert isinstance(recipe.parameters["t"], list)


def model(**parameters: Any) -> dict[str, Any]:
    return {"model": "a", "parameters": parameters}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"merge_method": "karcher", "models": [model()]}, "'karcher' is unknown; there are linear, slerp"),
        ({"merge_method": "linear"}, "give either models or slices"),
        ({"merge_method": "linear", "models": []}, "models: List should have at least 1 item"),
        ({"models": [model()]}, "merge_method: Field required"),
        ({"merge_method": "ties", "models": [model()]}, "ties needs a base_model"),
        (
            {"merge_method": "linear", "models": [model(weigth=1)]},
            "linear has no parameter weigth; it has normalize, weight",
        ),
        (
            {"merge_method": "linear", "models": [model(weight={"a": 1})]},
            r"models\[0\].parameters.weight: a number, a list",
        ),
        ({"merge_method": "linear", "models": [model()], "dtype": "int4"}, "dtype: Input should be 'float32'"),
        (
            {"merge_method": "linear", "models": [model()], "chat_template": "auto"},
            "chat_template: is no field of a recipe",
        ),
        ({"merge_method": "linear", "models": [{"model": "a", "weight": 1}]}, r"models\[0\].weight: is no field here"),
        (
            {"merge_method": "passthrough", "slices": [{"sources": [{"model": "a", "layer_range": [3, 1]}]}]},
            "layer_range is",
        ),
        (
            {
                "merge_method": "linear",
                "slices": [{"sources": [{"model": m, "layer_range": [0, n]} for m, n in (("a", 2), ("b", 3))]}],
            },
            "same number of layers",
        ),
    ],
)
def test_says_which_field_is_wrong(content: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_recipe(content)


def test_files_that_are_no_recipe(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    with pytest.raises(FileError, match="cannot be read"):
        read_recipe(tmp_path / "absent.yaml")
    file = tmp_path / "r.yaml"
    file.write_text("a: [")
    with pytest.raises(FileError, match="is no YAML"):
        read_recipe(file)
    file.write_text("- 1")
    with pytest.raises(InputError, match="a recipe is a mapping"):
        read_recipe(file)
    file.write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(FileError, match="is no YAML"):
        read_recipe(file)


def test_settings_for_one_tensor() -> None:
    filtered = [Filtered(filter="mlp", value=[0.0, 1.0]), Filtered(value=0.5)]
    assert setting_of("t", 1.0, [{"t": filtered}], "layers.1.mlp.w", 0.25) == 0.25
    assert setting_of("t", 1.0, [{"t": filtered}], "layers.1.attn.w", 0.25) == 0.5
    assert setting_of("t", 1.0, [None, {}, {"t": [0, 10, 20]}], "w", 0.75) == 15
    assert setting_of("t", 1.0, [{"t": "1e-5"}], "w", 0) == 1e-5
    assert setting_of("t", 1.0, [{"t": [Filtered(filter="x", value=1)]}, {"t": 3}], "w", 0) == 3
    assert setting_of("normalize", True, [{"normalize": False}], "w", 0) is False
    for wrong in ("much", True):
        with pytest.raises(InputError, match="t is a number"):
            setting_of("t", 1.0, [{"t": wrong}], "w", 0)
    with pytest.raises(InputError, match="normalize is true or false"):
        setting_of("normalize", True, [{"normalize": 1}], "w", 0)
