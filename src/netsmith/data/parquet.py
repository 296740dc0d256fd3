"""Images or recordings in a parquet file, in the layout of Hugging Face ``datasets``.

A column ``image`` or ``audio`` holds encoded files: a struct {bytes, path} or the bytes alone; ``label`` holds
integers. Row groups are read when they are asked for and one is kept, so that files larger than memory can be read in
order; ``batches(..., shuffle=True)`` shuffles group by group for the same reason.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from ..errors import InputError, missing_extra
from .audio import decode_wav
from .images import Pixels, check_size


class Parquet(Dataset[Any]):
    """Rows of one parquet file: (x, label), or x alone where ``label`` is None.

    Attributes:
        groups: rows of each row group.
        shape: shape of every x.
    """

    def __init__(
        self, path: str | Path, column: str | None, label: str | None, pixels: Pixels, length: int | None
    ) -> None:
        self.path, self.label, self.pixels, self.length = Path(path), label, pixels, length
        file = self._open()
        names = file.schema_arrow.names
        self.column = column or next((name for name in ("image", "audio") if name in names), "image")
        for name in (self.column, label):
            if name is not None and name not in names:
                raise InputError(f"{path} has no column {name!r}; it has {', '.join(names)}{_way_out(name == label)}")
        self.groups = tuple(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups))
        self._ends: list[int] = list(accumulate(self.groups))
        if not self._ends or not self._ends[-1]:
            raise InputError(f"{path} has no rows")
        self.labels = None if label is None else _labels(file.read(columns=[label]).column(0), label, path)
        self._cached: tuple[int, Any] = (-1, None)
        self.shape = tuple(self._read(0).shape)

    def _open(self) -> Any:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise missing_extra("pyarrow", "data", "parquet: data") from None
        try:
            return pyarrow.parquet.ParquetFile(self.path)
        except (OSError, pyarrow.ArrowException) as error:
            raise InputError(f"{self.path} cannot be read as a parquet file: {error}") from error

    def _encoded(self, index: int) -> bytes:
        group = bisect_right(self._ends, index)
        if self._cached[0] != group:
            self._cached = (group, self._open().read_row_group(group, columns=[self.column]).column(self.column))
        value = self._cached[1][index - (self._ends[group] - self.groups[group])].as_py()
        value = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(value, bytes):
            raise InputError(
                f"{self.path} row {index}: column {self.column!r} holds {type(value).__name__}, "
                "not the bytes of an encoded file"
            )
        return value

    def _read(self, index: int) -> Tensor:
        where = f"{self.path} row {index}"
        if self.column == "audio":
            return decode_wav(self._encoded(index), where, length=self.length)
        return self.pixels.decode(self._encoded(index), where)

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        index %= len(self)
        x = self._read(index)
        if self.column == "audio":
            if tuple(x.shape) != self.shape:
                raise InputError(
                    f"{self.path} row {index} is {tuple(x.shape)} (channels, samples) but the first row is "
                    f"{self.shape}; batches need one size. Cut or fill all to one length with length={self.shape[1]}"
                )
        else:
            check_size(x, self.shape, f"{self.path} row {index}")
        return x if self.labels is None else (x, self.labels[index])


def _way_out(is_label: bool) -> str:
    return (
        "; name another with label=..., or read without labels: label=None"
        if is_label
        else "; name another with column=..."
    )


def _labels(column: Any, name: str, path: str | Path) -> list[int]:
    import pyarrow

    if not pyarrow.types.is_integer(column.type):
        raise InputError(
            f"{path}: labels must be integers, but column {name!r} is {column.type}; number the classes 0, 1, 2, ..."
        )
    labels: list[int] = column.to_pylist()
    bad = next((i for i, value in enumerate(labels) if value is None or value < 0), None)
    if bad is not None:
        raise InputError(
            f"{path} row {bad}: the label is {labels[bad]}; labels must be 0, 1, 2, ... "
            "(in Python, label=None reads without them)"
        )
    return labels


def parquet(
    path: str | Path,
    *,
    column: str | None = None,
    label: str | None = "label",
    pixels: Pixels | None = None,
    length: int | None = None,
) -> Parquet:
    """Images or recordings of a parquet file.

    Args:
        path: the file.
        column: which holds the encoded files; None: "image", or "audio" where there is no "image". Only a column
            called "audio" is read as WAV; every other as images.
        label: column of integer labels ≥ 0; None: yield x alone.
        pixels: colour mode, normalisation and size of images; None: RGB in 0..1, all of one size.
        length: samples to cut or fill recordings to; None: all must have one length.

    Returns:
        A data set of (image (C, H, W) or waveform (channels, samples) float32, label), in the file's order.

    Raises:
        InputError: no parquet file, no rows, no such column, labels that are no integers ≥ 0, a row that cannot be
            decoded or has another size; the message says which row.
        MissingExtraError: pyarrow or Pillow is not installed.
    """
    return Parquet(path, column, label, pixels or Pixels(), length)
