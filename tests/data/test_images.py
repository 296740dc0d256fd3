"""Encoded image -> tensor."""

from __future__ import annotations

import io

import pytest
import torch
from PIL import Image

from netsmith.data import Pixels
from netsmith.errors import InputError


def png(rows: list[list[tuple[int, int, int]]]) -> bytes:
    image = Image.new("RGB", (len(rows[0]), len(rows)))
    image.putdata([pixel for row in rows for pixel in row])
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


RED_OVER_BLUE = png([[(255, 0, 0)] * 3, [(0, 0, 255)] * 3])


def test_channels_rows_and_columns_stand_where_they_should() -> None:
    image = Pixels().decode(RED_OVER_BLUE, "here")
    assert image.shape == (3, 2, 3)
    assert image[0].tolist() == [[1, 1, 1], [0, 0, 0]]
    assert image[2].tolist() == [[0, 0, 0], [1, 1, 1]]


def test_normalisation_is_per_channel() -> None:
    image = Pixels(mean=(0.5, 0.0, 0.0), std=(0.5, 1.0, 2.0)).decode(RED_OVER_BLUE, "here")
    assert image[0].tolist() == [[1, 1, 1], [-1, -1, -1]]
    assert image[2].tolist() == [[0, 0, 0], [0.5, 0.5, 0.5]]


def test_grey_and_resize() -> None:
    image = Pixels(mode="L", resize=(4, 6)).decode(RED_OVER_BLUE, "here")
    assert image.shape == (1, 4, 6)
    assert torch.isfinite(image).all()


def test_a_corrupt_image_is_named() -> None:
    with pytest.raises(InputError, match=r"row 7 cannot be read as an image"):
        Pixels().decode(RED_OVER_BLUE[:40], "file.parquet row 7")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "CMYK"}, "mode='CMYK' is unknown; there are 'RGB'"),
        ({"mean": (0.5,)}, "mean has 1 numbers; mode='RGB' needs 3"),
        ({"std": (1, 0, 1)}, r"std=\(1, 0, 1\) must be positive"),
        ({"resize": (0, 4)}, r"resize=\(0, 4\) must be \(height, width\)"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Pixels(**options)
