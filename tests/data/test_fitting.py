"""Batches that fit the example input."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import pytest
import torch

from netsmith.data.fitting import fitting_batches
from netsmith.errors import InputError


def test_recordings_take_the_length_of_the_example_input(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = []
    for frames in (30, 70):
        stream = io.BytesIO()
        with wave.open(stream, "wb") as file:
            file.setnchannels(1), file.setsampwidth(2), file.setframerate(8000)
            file.writeframes(b"\1\0" * frames)
        rows.append({"bytes": stream.getvalue()})
    file = tmp_path / "speech.parquet"
    parquet.write_table(pyarrow.table({"audio": rows, "label": [0, 1]}), file)
    ((x, y),) = fitting_batches(f"parquet:{file}", torch.zeros(1, 1, 50))
    assert x.shape == (2, 1, 50) and y.tolist() == [0, 1]
    assert (x[0, 0, 30:] == 0).all() and (x[1] != 0).all()


def test_batch_size_and_means_without_an_image_input() -> None:
    assert len(next(iter(fitting_batches("digits", torch.zeros(1, 1, 8, 8), batch_size=7)))[1]) == 7
    with pytest.raises(InputError, match="nowhere is no folder"):
        fitting_batches("imagefolder:nowhere", torch.zeros(2, 5), mean=(0.5, 0.5, 0.5))
