"""MODEL -> model and example inputs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from netsmith.errors import FileError, InputError, ModelError, UnknownNameError
from netsmith.sources.models import ModelSource, OpenModel, build_structure, open_model, state_digest

FUNCTIONS = """
import torch
def model(): return torch.nn.Linear(4, 2)
def with_tensor(): return torch.nn.Linear(4, 2), torch.ones(3, 4)
def with_shape(): return torch.nn.Linear(4, 2), (5, 4)
def with_keywords(): return torch.nn.Linear(4, 2), {"input": torch.ones(3, 4)}
def number(): return 3
def broken(): raise RuntimeError("no weights here")
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "models.py"
    path.write_text(FUNCTIONS)
    return path


def test_which_sources_give_random_weights() -> None:
    for name in ("torchvision:resnet18", "timm:convnext_tiny", "netsmith.zoo:digits_resnet"):
        assert ModelSource(name).brings_no_weights
        assert not ModelSource(name, weights="some.safetensors").brings_no_weights
    assert not ModelSource("mine.py:model").brings_no_weights  # it may bring its own


def test_a_function_with_input(file: Path) -> None:
    opened = open_model(ModelSource(f"{file}:model", input=(2, 4)))
    assert opened.example_inputs.shape == (2, 4)
    assert opened.model(opened.example_inputs).shape == (2, 2)
    assert not opened.model.training


def test_a_function_may_bring_its_inputs(file: Path) -> None:
    assert torch.equal(open_model(ModelSource(f"{file}:with_tensor")).example_inputs, torch.ones(3, 4))
    assert open_model(ModelSource(f"{file}:with_shape")).example_inputs.shape == (5, 4)
    assert set(open_model(ModelSource(f"{file}:with_keywords")).example_inputs) == {"input"}
    # What the command line says goes before it.
    assert open_model(ModelSource(f"{file}:with_tensor", input=(7, 4))).example_inputs.shape == (7, 4)


def test_the_same_source_gives_the_same_numbers(file: Path) -> None:
    def opened(seed: int) -> OpenModel:
        return open_model(ModelSource(f"{file}:model", input=(2, 4), seed=seed))

    state = torch.random.get_rng_state()
    a, b, c = opened(1), opened(1), opened(2)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert state_digest(a.model) == state_digest(b.model) != state_digest(c.model)
    assert torch.equal(a.example_inputs, b.example_inputs)


def test_the_digest_sees_one_changed_bit(file: Path) -> None:
    model = open_model(ModelSource(f"{file}:model", input=(2, 4))).model
    before = state_digest(model)
    with torch.no_grad():
        model.bias[0] = torch.nextafter(model.bias[0], torch.tensor(9.0))
    assert state_digest(model) != before


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        ("model", InputError, r"is not known; give --input SHAPE"),
        ("number", InputError, r"returned int; it must return a torch.nn.Module"),
        ("broken", InputError, r"raised RuntimeError: no weights here \(models.py, line 8\)"),
        ("modle", UnknownNameError, r"has no function 'modle'; it has model"),
    ],
)
def test_functions_that_do_not_do(file: Path, function: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        open_model(ModelSource(f"{file}:{function}"))


def test_torchvision() -> None:
    pytest.importorskip("torchvision")
    opened = open_model(ModelSource("torchvision:resnet18"))
    assert opened.example_inputs.shape == (1, 3, 224, 224)
    with pytest.raises(UnknownNameError, match=r"torchvision has no model 'resnet19'; did you mean resnet1"):
        open_model(ModelSource("torchvision:resnet19"))


def test_timm() -> None:
    pytest.importorskip("timm")
    opened = open_model(ModelSource("timm:test_resnet"))
    assert opened.model(opened.example_inputs).shape[0] == 1
    with pytest.raises(UnknownNameError, match=r"timm has no model 'resnet_18'; did you mean .*resnet"):
        open_model(ModelSource("timm:resnet_18"))


def tiny_llama(folder: Path, *, weights: bool) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, vocab_size=50,
        architectures=["LlamaForCausalLM"],
    )  # fmt: skip
    if weights:
        torch.manual_seed(3)
        transformers.LlamaForCausalLM(config).save_pretrained(folder)
    else:
        config.save_pretrained(folder)


def test_hf_folder_with_weights(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tiny_llama(tmp_path, weights=True)
    capfd.readouterr()
    source = ModelSource(f"hf:{tmp_path}", input=(2, 7))
    opened = open_model(source)
    assert type(opened.model).__name__ == "LlamaForCausalLM"
    assert opened.model(**opened.example_inputs).logits.shape == (2, 7, 50)
    assert state_digest(opened.model) == state_digest(open_model(ModelSource(f"hf:{tmp_path}", seed=9)).model)
    with torch.device("meta"):
        assert all(p.is_meta for p in build_structure(source).parameters())
    assert "Loading weights" not in capfd.readouterr().err  # transformers' bar, which is there again for others
    from transformers.utils import logging

    assert logging.is_progress_bar_enabled() and not source.brings_no_weights


def test_hf_folder_without_weights(tmp_path: Path) -> None:
    tiny_llama(tmp_path, weights=False)
    assert ModelSource(f"hf:{tmp_path}").brings_no_weights
    opened = open_model(ModelSource(f"hf:{tmp_path}"))
    assert opened.model(**opened.example_inputs).logits.shape == (1, 16, 50)


def test_hf_image_model(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    transformers.ViTConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=8,
        architectures=["ViTForImageClassification"],
    ).save_pretrained(tmp_path)  # fmt: skip
    opened = open_model(ModelSource(f"hf:{tmp_path}"))
    assert opened.example_inputs["pixel_values"].shape == (1, 3, 32, 32)
    assert opened.model(**opened.example_inputs).logits.shape == (1, 2)


def test_hf_folders_that_do_not_do(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(FileError, match=r"there is no config.json in .*save_pretrained"):
        open_model(ModelSource(f"hf:{tmp_path}"))
    (tmp_path / "config.json").write_text('{"model_type": "unheard_of"}')
    with pytest.raises(ModelError, match=r"cannot be opened: .*unheard_of"):
        open_model(ModelSource(f"hf:{tmp_path}"))
