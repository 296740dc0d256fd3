"""A saved model in a fresh process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from netsmith.errors import FileError
from netsmith.files import save
from netsmith.plans import plan_removal
from netsmith.recipes.reload_check import reloads_bit_equal
from netsmith.surgery import apply
from netsmith.wiring import trace
from netsmith.zoo import digits_resnet

BUILD = "netsmith.zoo:digits_resnet"
X = torch.linspace(-1, 1, 128).view(2, 1, 8, 8)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    torch.manual_seed(0)
    original = digits_resnet(width=4).eval()
    plan = plan_removal(trace(original, X), keep=0.5)
    model = apply(original, plan)
    folder = tmp_path_factory.mktemp("saved") / "model"
    save(model, folder, plan=plan)
    return model.train(), folder


def test_equal_to_the_last_bit_and_different_by_one_bit(saved: tuple[nn.Module, Path]) -> None:
    model, folder = saved
    assert reloads_bit_equal(folder, BUILD, {"width": 4}, model=model, inputs=X)
    assert model.training
    with torch.no_grad():
        model.fc.bias[0] = torch.nextafter(model.fc.bias[0], torch.tensor(9.0))
        model.fc.weight[0] = 0
    assert not reloads_bit_equal(folder, BUILD, {"width": 4}, model=model, inputs=X)


def test_what_the_other_process_could_not_do_is_said(saved: tuple[nn.Module, Path], tmp_path: Path) -> None:
    model, _ = saved
    with pytest.raises(FileError, match=r"could not be loaded in a fresh process: .*FileError.*no such folder"):
        reloads_bit_equal(tmp_path / "absent", BUILD, {"width": 4}, model=model, inputs=X)
