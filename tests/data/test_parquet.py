"""Parquet in the Hugging Face layout."""

from __future__ import annotations

import io
import pickle
import struct
import wave
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from netsmith.data import Pixels, batches, parquet
from netsmith.errors import InputError


def png(size: tuple[int, int], grey: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", size, grey).save(stream, "PNG")
    return stream.getvalue()


def write(path: Path, *, rows_a_group: int = 3, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=rows_a_group)
    return path


def struct_images(count: int) -> list[dict[str, Any]]:
    return [{"bytes": png((4, 2), 10 * i), "path": f"{i}.png"} for i in range(count)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "data.parquet", image=struct_images(8), label=[i % 3 for i in range(8)])


def test_rows_come_in_order_across_row_groups(file: Path) -> None:
    data = parquet(file, pixels=Pixels(mode="L"))
    assert data.groups == (3, 3, 2)
    loaded = list(batches(data, 3))
    assert [x.shape[0] for x, _ in loaded] == [3, 3, 2]
    greys = [round(float(v) * 255) for x, _ in loaded for v in x[:, 0, 0, 0]]
    assert greys == [10 * i for i in range(8)]
    assert [int(v) for _, y in loaded for v in y] == [0, 1, 2, 0, 1, 2, 0, 1]
    assert round(float(data[-1][0][0, 0, 0]) * 255) == 70
    with pytest.raises(IndexError):
        data[8]


def test_shuffling_keeps_groups_together_and_every_row_once(file: Path) -> None:
    loader = batches(parquet(file, pixels=Pixels(mode="L")), 1, shuffle=True, seed=1)
    order = [round(float(x[0, 0, 0, 0]) * 255) // 10 for x, _ in loader]
    assert sorted(order) == list(range(8))
    assert order != list(range(8))
    groups = [i // 3 for i in order]
    assert sum(a != b for a, b in pairwise(groups)) == 2


def test_bare_bytes_other_columns_and_no_labels(tmp_path: Path) -> None:
    file = write(tmp_path / "bare.parquet", picture=[png((4, 2), 0)] * 2, fine=[1, 0])
    image, label = parquet(file, column="picture", label="fine")[0]
    assert image.shape == (3, 2, 4)
    assert label == 1
    assert parquet(file, column="picture", label=None)[1].shape == (3, 2, 4)


def test_audio(tmp_path: Path) -> None:
    def recording(samples: int) -> bytes:
        stream = io.BytesIO()
        with wave.open(stream, "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(8000)
            out.writeframes(struct.pack(f"<{samples}h", *range(samples)))
        return stream.getvalue()

    file = write(tmp_path / "audio.parquet", audio=[recording(5), recording(7)], label=[0, 1])
    with pytest.raises(InputError, match=r"row 1 is \(1, 7\).*first row is \(1, 5\).*length=5"):
        list(batches(parquet(file), 2))
    x, y = next(iter(batches(parquet(file, length=6), 2)))
    assert x.shape == (2, 1, 6)
    assert y.tolist() == [0, 1]


def test_it_travels_to_worker_processes(file: Path) -> None:
    data = parquet(file)
    data[0]
    assert pickle.loads(pickle.dumps(data))[4][1] == data[4][1]


def test_no_parquet_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read as a parquet file"):
        parquet(tmp_path / "absent.parquet")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(InputError, match="cannot be read as a parquet file"):
        parquet(tmp_path / "torn.parquet")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"pixels": [1], "label": [0]}, "no column 'image'; it has pixels, label; name another with column="),
        ({"image": struct_images(1)}, "no column 'label'; it has image; name another with label="),
        ({"image": struct_images(1), "label": ["cat"]}, "labels must be integers, but column 'label' is string"),
        ({"image": struct_images(2), "label": [0, None]}, "row 1: the label is None"),
        ({"image": struct_images(2), "label": [0, -1]}, "row 1: the label is -1"),
        ({"image": [None, None], "label": [0, 0]}, "row 0: column 'image' holds NoneType, not the bytes"),
        ({"image": [1.5], "label": [0]}, "row 0: column 'image' holds float"),
        ({"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())}, "has no rows"),
    ],
)
def test_columns_that_cannot_be_used(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parquet(write(tmp_path / "bad.parquet", **columns))


def test_a_corrupt_image_or_another_size_names_its_row(tmp_path: Path) -> None:
    images = struct_images(5)
    images[4]["bytes"] = images[4]["bytes"][:30]
    data = parquet(write(tmp_path / "torn.parquet", image=images, label=[0] * 5))
    with pytest.raises(InputError, match="row 4 cannot be read as an image"):
        list(batches(data, 2))
    images[4]["bytes"] = png((6, 6), 0)
    data = parquet(write(tmp_path / "sizes.parquet", image=images, label=[0] * 5))
    with pytest.raises(InputError, match=r"row 4 is 6×6 pixels but the first image is 2×4.*resize=\(2, 4\)"):
        list(batches(data, 2))
