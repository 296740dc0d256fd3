"""A checkpoint folder read piece by piece: names, shapes and places of tensors, and any stretch of one in memory.

Files are read, not mapped: mapped pages count as memory of the process until the system takes them back, so the peak
of a merge would be the size of the checkpoints.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from ..errors import FileError

INDEX: Final = "model.safetensors.index.json"
SINGLE: Final = "model.safetensors"
DTYPES: Final = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
NAMES: Final = {dtype: name for name, dtype in DTYPES.items()}
_MOST_HEADER = 100_000_000  # bytes; what safetensors itself accepts


@dataclass(frozen=True)
class Stored:
    """One tensor in a file.

    Attributes:
        file: the safetensors file.
        start: offset of its first byte in the file.
        shape: of the tensor.
        dtype: of the tensor.
    """

    file: Path
    start: int
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def numel(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, eq=False)
class CheckpointFolder:
    """What ``open_checkpoint`` found.

    Attributes:
        path: the folder, or the one file.
        tensors: name -> where it is stored, in the order of the files.
    """

    path: Path
    tensors: dict[str, Stored]

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.json; empty where there is none.

        Raises:
            FileError: no JSON object.
        """
        file = self.path / "config.json"
        if not file.is_file():
            return {}
        return _json_object(file)


def open_checkpoint(path: str | os.PathLike[str]) -> CheckpointFolder:
    """Read the headers of a checkpoint: a folder with model.safetensors or a sharded index, or one safetensors file.

    Raises:
        FileError: nothing to read there, a header that is damaged or lies about its file, a shard that is missing, an
            index that disagrees with its shards, or a dtype that cannot be merged.
    """
    folder = Path(path)
    if folder.is_file():
        return CheckpointFolder(folder, dict(_header(folder)))
    if not folder.is_dir():
        raise FileError(f"there is no checkpoint {str(path)!r}; give a folder with safetensors files (no hub is asked)")
    index = folder / INDEX
    if not index.is_file():
        files = [folder / SINGLE] if (folder / SINGLE).is_file() else sorted(folder.glob("*.safetensors"))
        if len(files) != 1:
            raise FileError(
                f"{folder}: holds {len(files)} safetensors files and no {INDEX}; "
                "a checkpoint has model.safetensors, or shards with that index. "
                "Save the model with save_pretrained(..., safe_serialization=True)."
            )
        return CheckpointFolder(folder, dict(_header(files[0])))
    return CheckpointFolder(folder, _sharded(folder, index))


def _sharded(folder: Path, index: Path) -> dict[str, Stored]:
    places = _json_object(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(v, str) for v in places.values()):
        raise FileError(f"{index}: has no weight_map from tensors to files; download or save the checkpoint again")
    found: dict[str, Stored] = {}
    for name in sorted(set(places.values())):
        if Path(name).name != name:  # an index from a stranger must not point outside its folder
            raise FileError(f"{index}: names the shard {name!r}, which lies outside the folder; it is not opened")
        if not (folder / name).is_file():
            raise FileError(f"{folder}: the shard {name} is missing; download or save the checkpoint again")
        held = _header(folder / name)
        absent = [tensor for tensor, file in places.items() if file == name and tensor not in held]
        if absent:
            raise FileError(f"{index}: says that {name} holds {', '.join(absent[:5])}, but it does not")
        found |= {tensor: stored for tensor, stored in held.items() if places.get(tensor) == name}
    return found


def _header(file: Path) -> dict[str, Stored]:
    """Tensors of one file in the order of their bytes."""
    try:
        with safe_open(file, framework="pt", device="cpu"):
            pass  # the library checks all that can be wrong: lengths, overlaps, holes, sizes
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            content = json.loads(stream.read(min(length, _MOST_HEADER)))
    except (SafetensorError, OSError, ValueError) as error:
        raise FileError(
            f"{file}: no sound safetensors file ({error}); download or save the checkpoint again"
        ) from error
    size, found = file.stat().st_size, {}
    for name, entry in content.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in DTYPES:
            raise FileError(
                f"{file}: {name} is {entry['dtype']}, which cannot be merged; convert the checkpoint to one of "
                f"{', '.join(list(DTYPES)[:4])} first"
            )
        dtype, shape, (start, end) = DTYPES[entry["dtype"]], tuple(entry["shape"]), entry["data_offsets"]
        stored = Stored(file, 8 + length + start, shape, dtype)
        if end - start != stored.numel * dtype.itemsize or stored.start + end - start > size:
            raise FileError(f"{file}: the header's offsets of {name} do not fit its shape; save the checkpoint again")
        found[name] = stored
    return dict(sorted(found.items(), key=lambda item: item[1].start))


def _json_object(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileError(f"{file}: cannot be read as JSON ({error})") from error
    if not isinstance(content, dict):
        raise FileError(f"{file}: holds no JSON object")
    return content


class Reader:
    """Reads stretches of stored tensors into a buffer of its own, which the next read overwrites."""

    def __init__(self) -> None:
        self.file: Path | None = None
        self.stream: BinaryIO | None = None
        self.buffer = np.empty(0, dtype=np.uint8)

    def read(self, stored: Stored, first: int, last: int) -> torch.Tensor:
        """Elements ``first`` to ``last`` (exclusive) of the flattened tensor.

        Raises:
            FileError: the file ended early or cannot be read.
        """
        size = (last - first) * stored.dtype.itemsize
        if not size:
            return torch.empty(0, dtype=stored.dtype)
        if len(self.buffer) < size:
            self.buffer = np.empty(size, dtype=np.uint8)
        try:
            if self.stream is None or self.file != stored.file:
                self.close()
                self.file, self.stream = stored.file, stored.file.open("rb", buffering=0)
            stream = self.stream
            stream.seek(stored.start + first * stored.dtype.itemsize)
            got, view = 0, self.buffer.data[:size]
            while got < size:
                count = stream.readinto(view[got:])  # type: ignore[attr-defined]
                if not count:
                    raise FileError(f"{stored.file}: ends early; was it changed while it was read?")
                got += count
        except OSError as error:
            raise FileError(f"{stored.file}: cannot be read ({error.strerror})") from error
        return torch.from_numpy(self.buffer[:size]).view(stored.dtype)

    def close(self) -> None:
        if self.stream is not None:
            self.stream.close()
        self.file = self.stream = None
