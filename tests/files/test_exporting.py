"""Exported files are run and compared; nothing half-written stays."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import netsmith.files.exporting as room
from netsmith.errors import FileError, InputError, MissingExtraError, ModelError, UnknownNameError
from netsmith.files import export

X = torch.randn(1, 6, generator=torch.Generator().manual_seed(0))


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.mark.parametrize(
    ("to", "package", "files"),
    [
        ("torch-export", "torch", {"model.pt2"}),
        ("onnx", "onnxruntime", {"model.onnx"}),
        ("openvino", "openvino", {"model.xml", "model.bin"}),
    ],
)
def test_each_target_takes_any_batch(to: str, package: str, files: set[str], tmp_path: Path) -> None:
    pytest.importorskip(package)
    done = export(small(), X, tmp_path / "out", to=to)
    assert done.batches == (1, 2) and done.largest_difference < 1e-5 and done.precision == "fp32"
    found = {file.name: file.stat().st_size for file in (tmp_path / "out").iterdir()}
    assert files | {"export.json"} == set(found)
    told = json.loads((tmp_path / "out/export.json").read_text())
    assert told["to"] == to and told["bytes"] == sum(found[name] for name in files)


@pytest.mark.parametrize(("to", "package"), [("onnx", "onnxruntime"), ("openvino", "nncf")])
def test_int8(to: str, package: str, tmp_path: Path) -> None:
    pytest.importorskip(package)
    data = [torch.randn(16, 6) for _ in range(4)]
    done = export(small(), X, tmp_path / "out", to=to, calibration=data)
    assert done.precision == "int8" and 1e-5 < done.largest_difference < 0.1
    assert {file.stem for file in (tmp_path / "out").iterdir()} == {"model", "export"}


@pytest.mark.parametrize(
    ("to", "absent", "extra"),
    [
        ("onnx", "onnxscript", "onnx"),
        ("openvino", "openvino", "openvino"),
        ("executorch", "executorch.exir", "executorch"),
    ],
)
def test_an_absent_package_names_its_extra(
    to: str, absent: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, absent, None)
    monkeypatch.setitem(sys.modules, absent.split(".")[0], None)
    with pytest.raises(MissingExtraError, match=rf'pip install "netsmith\[{extra}\]"'):
        export(small(), X, tmp_path / "new" / "out", to=to)
    assert not any(tmp_path.iterdir())


def test_a_file_that_gives_other_outputs_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = [torch.full((1, 3), 9.0)]
    monkeypatch.setattr(room, "program_runner", lambda program: lambda inputs: wrong)
    with pytest.raises(ModelError, match="the torch-export file gives other outputs than the model"):
        export(small(), X, tmp_path / "out", to="torch-export", free_batch=False)
    assert not any(tmp_path.iterdir())


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no target 'tensorrt'; known: onnx, openvino, torch-export, executorch"):
        export(small(), X, tmp_path / "out", to="tensorrt")
    with pytest.raises(InputError, match="calibration makes int8, and torch-export has none"):
        export(small(), X, tmp_path / "out", to="torch-export", calibration=[X])
    with pytest.raises(InputError, match="model is a str"):
        export("model", X, tmp_path / "out", to="onnx")  # type: ignore[arg-type]
    (tmp_path / "there").mkdir()
    (tmp_path / "there/file").touch()
    with pytest.raises(FileError, match="is in the way"):
        export(small(), X, tmp_path / "there", to="onnx")


def test_calibration_batches_that_the_model_cannot_take(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Sequential cannot be run on tensor \(4, 5\)"):
        export(small(), X, tmp_path / "out", to="onnx", calibration=[torch.randn(4, 5)])
    assert not (tmp_path / "out").exists()
