"""Every shipped recipe, written by ``netsmith init`` for a model that it suits, runs from end to end."""

from __future__ import annotations

import io
import re
import wave
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
import torch

from netsmith.errors import FileError
from netsmith.recipes import init_recipe, run_recipe
from netsmith.recipes.suiting import KINDS, suiting
from netsmith.recipes.writing import write_new
from netsmith.sources.models import ModelSource, open_model

CODE = '''
import torch
from torch import nn


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv1d(channels, channels, 3, padding=1), nn.BatchNorm1d(channels), nn.ReLU(),
            nn.Conv1d(channels, channels, 3, padding=1), nn.BatchNorm1d(channels),
        )

    def forward(self, x):
        return (x + self.inner(x)).relu()


class Speech(nn.Module):
    """(N, 1, samples) -> (N, 3)"""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv1d(1, 16, 64, stride=16)
        self.blocks = nn.Sequential(*(Residual(16) for _ in range(4)))
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x).relu()).mean(2))


def speech():
    torch.manual_seed(0)
    return Speech(), (2, 1, 2000)


def convolutional():
    from netsmith.zoo import digits_resnet

    torch.manual_seed(0)
    return digits_resnet(width=8), (2, 1, 8, 8)


def greys():
    g = torch.Generator().manual_seed(0)
    return [(x, torch.arange(16) % 10) for x in torch.randn(32, 1, 8, 8, generator=g).split(16)]


def vit():
    import timm

    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=32, depth=4, num_heads=2,
                              num_classes=3)
    return model, (2, 3, 32, 32)


def pixels():
    g = torch.Generator().manual_seed(0)
    return [(x, x.mean((2, 3)).argmax(1)) for x in torch.randn(32, 3, 32, 32, generator=g).split(16)]


def words(labels=True):
    g = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 40, (32, 12), generator=g)
    return [({"input_ids": x, "attention_mask": torch.ones_like(x)}, x[:, 0] % 3 if labels else None)
            for x in ids.split(16)]


def text():
    return words(labels=False)
'''


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("nets.py").write_text(CODE)
    return tmp_path


def transformer(kind: str) -> str:
    hf = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}
    if kind == "bert_encoder":
        model = hf.BertForSequenceClassification(hf.BertConfig(vocab_size=40, num_labels=3, **sizes))
    else:
        model = hf.LlamaForCausalLM(hf.LlamaConfig(vocab_size=40, num_key_value_heads=2, **sizes))
    model.save_pretrained(kind)
    return f"hf:{kind}"


def recordings() -> str:
    """A parquet file of tones, one pitch a class."""
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows, labels = [], []
    for index in range(24):
        stream = io.BytesIO()
        tone = (torch.arange(2000 + 10 * index) * 0.05 * (1 + index % 3)).sin() * 20_000
        with wave.open(stream, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(tone.to(torch.int16).numpy().tobytes())
        rows.append({"bytes": stream.getvalue()})
        labels.append(index % 3)
    parquet.write_table(pyarrow.table({"audio": rows, "label": labels}), "tones.parquet")
    return "parquet:tones.parquet"


def vit() -> str:
    pytest.importorskip("timm")
    return "nets.py:vit"


# kind -> model, data, what is measured on
CASES: dict[str, tuple[Callable[[], ModelSource], Callable[[], str], str]] = {
    "cnn_classifier": (
        lambda: ModelSource("nets.py:convolutional"),
        lambda: "nets.py:greys",
        "accuracy",
    ),
    "vit": (lambda: ModelSource(vit()), lambda: "nets.py:pixels", "accuracy"),
    "bert_encoder": (lambda: ModelSource(transformer("bert_encoder")), lambda: "nets.py:words", "accuracy"),
    "small_llm": (lambda: ModelSource(transformer("small_llm")), lambda: "nets.py:text", "perplexity"),
    "speech": (lambda: ModelSource("nets.py:speech"), recordings, "accuracy"),
}


def test_a_case_for_each() -> None:
    shipped = {file.name.removesuffix(".yaml") for file in files("netsmith.recipes").joinpath("shipped").iterdir()}
    assert shipped == set(KINDS) == set(CASES)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_chosen_and_runs(kind: str) -> None:
    pytest.importorskip("torchao")
    source, data, measured = (make() if callable(make) else make for make in CASES[kind])
    assert isinstance(source, ModelSource) and isinstance(data, str)
    written = init_recipe(source, data=data, eval=data)
    assert written.suits.kind == kind and written.suits.metric == measured and not written.open
    assert written.suits.blocks == 1 and written.suits.macs == 0.5
    text = re.sub(r"epochs: \d", "epochs: 1", written.text)
    write_new("recipe.yaml", text)
    done = run_recipe("recipe.yaml", "out")
    assert done.ok
    kinds = [step.kind for step in done.record.steps]
    assert kinds[:5] == ["load", "inspect", "cut", "shrink", "distil"] and kinds[-1] == "quantize"
    first, last = done.record.steps[0], done.record.steps[-1]
    assert first.cost and last.cost and last.cost.bytes < 0.6 * first.cost.bytes
    pruned = done.record.steps[3]
    assert pruned.cost and pruned.cost.macs < 0.5 * first.cost.macs
    assert measured in last.scores and last.scores[measured] >= 0
    again = run_recipe("recipe.yaml", "out", resume=True)
    assert all(step.cached for step in again.record.steps)


def test_other_models_get_what_suits_them() -> None:
    nets = """
import torch
from torch import nn


def small():
    return nn.Sequential(nn.Linear(4, 3)), (2, 4)


def hidden():
    class Hidden(nn.Linear):
        def forward(self, x):
            return {"states": super().forward(x)}

    return Hidden(4, 3), (2, 4)


def wave():
    return nn.Sequential(nn.Linear(8000, 3)), (1, 8000)
"""
    Path("small.py").write_text(nets)

    def suits(name: str):
        opened = open_model(ModelSource(f"small.py:{name}"))
        return suiting(opened.model, opened.example_inputs)

    assert (suits("small").kind, suits("small").blocks, suits("small").macs) == ("cnn_classifier", 0, None)
    assert suits("hidden").metric is None and suits("wave").kind == "speech"
    text = init_recipe(ModelSource("small.py:small")).text
    assert "cut:" not in text and "prune:" not in text and "distil:" in text
    text = init_recipe(ModelSource("small.py:hidden"), data="small.py:x", mean=[0.5], std=[0.2], kind="vit").text
    assert "distil:" not in text and "eval" not in text and "metric" not in text
    assert "data: {name: small.py:x, mean: [0.5], std: [0.2]}" in text


def test_a_file_that_is_there_stays() -> None:
    write_new("new/recipe.yaml", "a: 1")
    with pytest.raises(FileError, match="nothing is overwritten"):
        write_new("new/recipe.yaml", "a: 2")
    with pytest.raises(FileError, match="cannot be written"):
        write_new("nets.py/deep/recipe.yaml", "a: 2")
    assert Path("new/recipe.yaml").read_text() == "a: 1"
