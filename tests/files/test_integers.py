"""Integers are really stored: the file shrinks, loads without pickle, gives the same outputs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import netsmith
from netsmith.errors import FileError
from netsmith.files.integers import packed, unpacked
from netsmith.files.plan_file import plan_from_json, plan_to_json
from netsmith.plans import plan_precision, precision
from small_networks import NETWORKS, network


@pytest.mark.parametrize("shape", [(3, 5), (4, 2), (1,)])
def test_packing(shape: tuple[int, ...]) -> None:
    values = torch.randint(-8, 8, shape, dtype=torch.int8, generator=torch.Generator().manual_seed(0))
    halves = packed(values)
    assert halves.dtype == torch.uint8 and halves.numel() == (values.numel() + 1) // 2
    assert unpacked(halves, values.shape).equal(values)


@pytest.fixture
def torchao(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchao")
    monkeypatch.setattr(precision, "_SMALLEST", 1)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("scheme", ["int8", "int4", "dynamic-int8"])
def test_there_and_back(name: str, scheme, tmp_path: Path, torchao: None) -> None:
    model, x = network(name)
    plan = plan_precision(netsmith.trace(model, x), scheme=scheme, group=4)
    small = netsmith.apply(model, plan)
    netsmith.save(small, tmp_path / "small", plan=plan)
    again = netsmith.load(tmp_path / "small", NETWORKS[name][0])
    with torch.no_grad():
        assert again(x).equal(small(x))
    assert plan_from_json(plan_to_json(plan)) == plan
    held = load_file(tmp_path / "small" / "model.safetensors")
    edit = plan.precisions[0]
    if scheme == "int4":
        assert held[f"{edit.tensor}:qdata:int4"].dtype == torch.uint8
    else:
        assert held[f"{edit.tensor}:qdata"].dtype == torch.int8
    assert edit.tensor not in held
    card = (tmp_path / "small" / "card.md").read_text()
    assert f"| `{edit.tensor}` | int{edit.bits}, a scale" in card and "netsmith[quant]" in card


def test_the_file_shrinks(tmp_path: Path, torchao: None) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(256, 256), torch.nn.Linear(256, 256))
    wiring = netsmith.trace(model, torch.randn(1, 256))
    sizes = {}
    for scheme in ("int8", "int4"):
        plan = plan_precision(wiring, scheme=scheme)
        netsmith.save(netsmith.apply(model, plan), tmp_path / scheme, plan=plan)
        sizes[scheme] = (tmp_path / scheme / "model.safetensors").stat().st_size
    assert sizes["int8"] < 0.27 * 2 * 256 * 256 * 4 and sizes["int4"] < 0.145 * 2 * 256 * 256 * 4


@pytest.mark.parametrize("change", ["missing", "shape", "dtype"])
def test_a_part_that_does_not_fit(change: str, tmp_path: Path, torchao: None, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = network("mlp")
    plan = plan_precision(netsmith.trace(model, x), scheme="int8")
    netsmith.save(netsmith.apply(model, plan), tmp_path / "small", plan=plan)
    file = tmp_path / "small" / "model.safetensors"
    held = load_file(file)
    part = held.pop("0.weight:scale")
    if change != "missing":
        held["0.weight:scale"] = part[:1] if change == "shape" else part.double()
    save_file(held, file)
    monkeypatch.setattr("netsmith.files.loading.check_weights_file", lambda path, weights: None)
    with pytest.raises(FileError, match=r"0.weight:scale is missing, or not \(16, 1\) of torch.float32"):
        netsmith.load(tmp_path / "small", NETWORKS["mlp"][0])
