"""A folder of images."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from netsmith.data import Pixels, batches, imagefolder
from netsmith.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.new("RGB", (5, 4), (100 * label, 10 * i, 0)).save(tmp_path / name / f"{i}.png")
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    return tmp_path


def test_sorted_names_give_the_labels(folder: Path) -> None:
    data = imagefolder(folder)
    assert data.classes == ("cat", "dog")
    assert len(data) == 6
    x, y = next(iter(batches(data, 6)))
    assert x.shape == (6, 3, 4, 5)
    assert y.tolist() == [0, 0, 0, 1, 1, 1]
    assert x[4, :, 0, 0].tolist() == pytest.approx([100 / 255, 10 / 255, 0])


def test_another_size_is_named_with_the_way_out(folder: Path) -> None:
    Image.new("RGB", (9, 9)).save(folder / "dog" / "9.png")
    with pytest.raises(InputError, match=r"9\.png is 9×9 pixels but the first image is 4×5.*resize=\(4, 5\)"):
        list(batches(imagefolder(folder), 4))
    assert sum(len(y) for _, y in batches(imagefolder(folder, pixels=Pixels(resize=(4, 5))), 4)) == 7


def test_a_corrupt_image_is_named(folder: Path) -> None:
    (folder / "dog" / "1.png").write_bytes(b"\x89PNG nonsense")
    with pytest.raises(InputError, match=r"1\.png cannot be read as an image"):
        list(batches(imagefolder(folder), 2))


def test_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no folder"):
        imagefolder(tmp_path / "nowhere")
    with pytest.raises(InputError, match="has no sub-folders; it needs one a class"):
        imagefolder(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(InputError, match="no images in cat"):
        imagefolder(tmp_path)
