"""``--weights FILE``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from netsmith.errors import FileError
from netsmith.sources.weights import load_weights


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


@pytest.fixture
def other() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_safetensors(model: nn.Module, other: nn.Module, tmp_path: Path) -> None:
    save_file(other.state_dict(), tmp_path / "w.safetensors")
    assert not same(model, other)
    load_weights(model, tmp_path / "w.safetensors")
    assert same(model, other)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model": s}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_pt(model: nn.Module, other: nn.Module, tmp_path: Path, wrap: Any, prefix: str) -> None:
    torch.save(wrap({prefix + k: v for k, v in other.state_dict().items()}), tmp_path / "w.pt")
    load_weights(model, tmp_path / "w.pt")
    assert same(model, other)


def test_a_shared_tensor_needs_one_of_its_names(tmp_path: Path) -> None:
    model, weight = Tied(), torch.rand(5, 3)
    save_file({"embed.weight": weight}, tmp_path / "w.safetensors")
    load_weights(model, tmp_path / "w.safetensors")
    assert torch.equal(model.head.weight, weight)


def test_every_fault_is_listed_and_nothing_is_loaded(model: nn.Module, other: nn.Module, tmp_path: Path) -> None:
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = {k: v for k, v in other.state_dict().items() if k != "0.bias"}
    state |= {"0.weight": torch.zeros(2, 4), "fc.weight": torch.zeros(1)}
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(FileError) as caught:
        load_weights(model, tmp_path / "w.safetensors")
    message = str(caught.value)
    assert "missing in the file (1):\n    0.bias" in message
    assert "not in the model (1):\n    fc.weight" in message
    assert "0.weight: (2, 4) in the file, (3, 4) in the model" in message
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_long_lists_are_cut(model: nn.Module, tmp_path: Path) -> None:
    save_file(model.state_dict() | {f"x{i}": torch.zeros(1) for i in range(20)}, tmp_path / "w.safetensors")
    with pytest.raises(FileError, match=r"not in the model \(20\)") as caught:
        load_weights(model, tmp_path / "w.safetensors")
    assert "… and 12 more" in str(caught.value)


def test_a_pickle_of_a_whole_model_is_not_opened(model: nn.Module, tmp_path: Path) -> None:
    torch.save(model, tmp_path / "w.pt")
    with pytest.raises(FileError, match=r"it could run code.*torch.save\(model.state_dict\(\), file\)"):
        load_weights(model, tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_damaged_files(model: nn.Module, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.suffix == ".pt":
        torch.save(model.state_dict(), path)
    else:
        save_file(model.state_dict(), path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FileError, match=r"w\.(pt cannot be read|safetensors is no whole safetensors file)"):
        load_weights(model, path)
    path.write_bytes(b"")
    with pytest.raises(FileError, match=str(path)):
        load_weights(model, path)


def test_no_file_and_no_state_dict(model: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="there is no weights file"):
        load_weights(model, tmp_path / "none.pt")
    torch.save({"accuracy": 0.9}, tmp_path / "w.pt")
    with pytest.raises(FileError, match="holds no state dict"):
        load_weights(model, tmp_path / "w.pt")
