"""``--data`` and ``--eval``."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from netsmith.cli.datasets import open_batches, validation_of
from netsmith.errors import InputError

X = torch.zeros(1, 3, 6, 8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    image = pytest.importorskip("PIL.Image")
    for label, grey in (("dark", 51), ("light", 204)):
        (tmp_path / label).mkdir()
        image.new("RGB", (20, 10), (grey, grey, grey)).save(tmp_path / label / "1.png")
    return tmp_path


def test_images_take_the_size_of_the_example_input(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (batch,) = open_batches(f"imagefolder:{folder}", X)
    assert batch[0].shape == (2, 3, 6, 8)
    assert batch[1].tolist() == [0, 1]
    assert torch.allclose(batch[0][:, 0, 0, 0], torch.tensor([0.2, 0.8]))
    assert "give --mean and --std" in capsys.readouterr().err
    (batch,) = open_batches(f"imagefolder:{folder}", torch.zeros(1, 1, 4, 4))
    assert batch[0].shape == (2, 1, 4, 4)


def test_mean_and_std(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (batch,) = open_batches(f"imagefolder:{folder}", X, mean="0.2,0.2,0.2", std="0.6,0.6,0.6")
    assert torch.allclose(batch[0][:, 0, 0, 0], torch.tensor([0.0, 1.0]), atol=1e-6)
    assert capsys.readouterr().err == ""


def test_numbers_that_are_none(folder: Path) -> None:
    with pytest.raises(InputError, match=r"--mean 'a,b': write one number a channel"):
        open_batches(f"imagefolder:{folder}", X, mean="a,b")
    with pytest.raises(InputError, match=r"mean has 1 numbers; mode='RGB' needs 3"):
        open_batches(f"imagefolder:{folder}", X, mean="0.5")


def test_digits_are_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    images, labels = next(iter(open_batches("digits", X)))
    assert images.shape[1:] == (1, 8, 8)
    assert labels.ndim == 1
    assert capsys.readouterr().err == ""


def test_what_is_measured_on_by_default() -> None:
    assert validation_of("digits") == "digits:validation"
    assert validation_of("digits:test") is None
    assert validation_of("imagefolder:x") is None
