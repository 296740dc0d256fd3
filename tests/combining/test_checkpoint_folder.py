"""Reading checkpoint folders: what is damaged, or lies, is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from checkpoint_folders import tensors, write
from netsmith.combining.checkpoint_folder import Reader, open_checkpoint
from netsmith.errors import FileError


def header(file: Path, content: dict | bytes, data: bytes = b"\0" * 8) -> None:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_stretches_of_every_tensor(tmp_path: Path) -> None:
    content = tensors(1) | {"empty": torch.ones(0), "scalar": torch.tensor(3.0), "ints": torch.arange(5)}
    found = open_checkpoint(write(tmp_path / "a", content, shards=3))
    reader = Reader()
    assert found.tensors.keys() == content.keys()
    for name, stored in found.tensors.items():
        flat = content[name].reshape(-1)
        assert stored.shape == content[name].shape
        assert torch.equal(reader.read(stored, 0, stored.numel), flat)
        assert torch.equal(reader.read(stored, stored.numel // 2, stored.numel), flat[len(flat) // 2 :])
    reader.close()


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 800]}},
        {"w": {"dtype": "F32", "shape": [200], "data_offsets": [0, 8]}},
        {"w": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}},
        {"w": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}},
        {"w": {"dtype": "XX", "shape": [2], "data_offsets": [0, 8]}},
        {"w": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}},
        {
            "w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
            "v": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
        },
        {"w": 3},
    ],
)
def test_hostile_headers(tmp_path: Path, content: dict | bytes) -> None:
    header(tmp_path / "model.safetensors", content)
    with pytest.raises(FileError, match="no sound safetensors file"):
        open_checkpoint(tmp_path)


def test_a_length_beyond_the_file_and_a_cut_file(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes((1 << 60).to_bytes(8, "little") + b"{}")
    with pytest.raises(FileError, match="no sound"):
        open_checkpoint(tmp_path)
    folder = Path(write(tmp_path / "a", tensors(1), shards=1))
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-3])
    with pytest.raises(FileError, match="no sound"):
        open_checkpoint(folder)


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    folder = Path(write(tmp_path / "a", {"w": torch.ones(100)}, shards=1))
    stored = open_checkpoint(folder).tensors["w"]
    (folder / "model.safetensors").write_bytes(b"short")
    with pytest.raises(FileError, match="ends early"):
        Reader().read(stored, 0, 100)


def test_an_unsupported_dtype_is_named(tmp_path: Path) -> None:
    header(tmp_path / "model.safetensors", {"w": {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}})
    with pytest.raises(FileError, match="w is F8_E4M3, which cannot be merged"):
        open_checkpoint(tmp_path)


def test_indexes_that_lie(tmp_path: Path) -> None:
    folder = Path(write(tmp_path / "a", tensors(1)))
    index = folder / "model.safetensors.index.json"
    good = json.loads(index.read_text())["weight_map"]
    for places, message in (
        ({"lm_head.weight": "../secret.safetensors"}, "outside the folder"),
        ({"lm_head.weight": "model-00009.safetensors"}, "is missing"),
        ({**good, "ghost": "model-00001-of-00002.safetensors"}, "says that .* holds ghost"),
        ({"w": 3}, "no weight_map"),
    ):
        index.write_text(json.dumps({"weight_map": places}))
        with pytest.raises(FileError, match=message):
            open_checkpoint(folder)


def test_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="there is no checkpoint 'org/name'"):
        open_checkpoint("org/name")
    with pytest.raises(FileError, match="holds 0 safetensors files"):
        open_checkpoint(tmp_path)
