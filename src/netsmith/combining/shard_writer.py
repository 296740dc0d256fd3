"""Writes a sharded checkpoint tensor by tensor, so that an interrupted run can go on where it stopped.

Shards are written into a folder beside the target, ``.NAME.partial``. A finished shard is entered in a journal with the
size and checksum of each tensor; a later run with the same recipe and inputs keeps those that still agree. At the end
the folder takes the target's name: what stands there is whole.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from ..errors import FileError
from .checkpoint_folder import NAMES, SINGLE
from .placed_writes import Sum, added, agrees, in_threads

JOURNAL: Final = "journal.json"


@dataclass(frozen=True)
class Promised:
    """A tensor that is going to be written."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        return torch.Size(self.shape).numel() * self.dtype.itemsize


@dataclass(frozen=True)
class Shard:
    """One file of the result: its name and what is in it."""

    name: str
    tensors: tuple[Promised, ...]


def divided(tensors: Sequence[Promised], limit: int) -> list[Shard]:
    """Tensors into shards of at most ``limit`` bytes each; a larger tensor gets one of its own."""
    groups: list[list[Promised]] = [[]]
    size = 0
    for tensor in tensors:
        if groups[-1] and size + tensor.bytes > limit:
            groups.append([])
            size = 0
        groups[-1].append(tensor)
        size += tensor.bytes
    if len(groups) == 1:
        return [Shard(SINGLE, tuple(groups[0]))]
    names = [f"model-{number:05d}-of-{len(groups):05d}.safetensors" for number in range(1, len(groups) + 1)]
    return [Shard(name, tuple(group)) for name, group in zip(names, groups, strict=True)]


def index_text(shards: Sequence[Shard]) -> str:
    """model.safetensors.index.json."""
    total = sum(tensor.bytes for shard in shards for tensor in shard.tensors)
    places = {tensor.name: shard.name for shard in shards for tensor in shard.tensors}
    return json.dumps({"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}, indent=2) + "\n"


class Journal:
    """What an earlier run finished.

    Attributes:
        folder: where the shards lie until all are there.
        kept: names of shards that an earlier run finished and that are still as it left them.
    """

    def __init__(self, target: Path, identity: str) -> None:
        """Open or begin the journal of a target.

        Args:
            target: the folder that the checkpoint is going to be.
            identity: a digest of the recipe and the inputs.

        Raises:
            FileError: something is in the way, or cannot be written.
        """
        self.target = target.resolve()
        self.folder = self.target.parent / f".{self.target.name}.partial"
        self.identity = identity
        self.done: dict[str, list[Sum]] = {}
        if self.target.is_file() or (self.target.is_dir() and any(self.target.iterdir())):
            raise FileError(f"{target}: there is something already, and nothing is overwritten; give another folder")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.done = self._sound()
            for entry in self.folder.iterdir():
                if entry.name not in self.done and entry.is_file():
                    entry.unlink()
            self._write()
        except OSError as error:
            raise FileError(f"{target}: cannot be written ({error.strerror}); give another folder") from error
        self.kept = frozenset(self.done)

    def _sound(self) -> dict[str, list[Sum]]:
        try:
            content = json.loads((self.folder / JOURNAL).read_text(encoding="utf-8"))
            if content["identity"] != self.identity:
                return {}
            entries = {
                Path(name).name: [(int(size), int(step), int(total)) for size, step, total in sums]
                for name, sums in content["shards"].items()
            }
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return {}  # another recipe's, or a journal cut short: begin anew
        return {
            name: sums
            for name, sums in entries.items()
            if (self.folder / name).is_file() and agrees(self.folder / name, sums)
        }

    def _write(self) -> None:
        staging = self.folder / f"{JOURNAL}.new"
        staging.write_text(json.dumps({"identity": self.identity, "shards": self.done}), encoding="utf-8")
        staging.replace(self.folder / JOURNAL)

    def write(
        self,
        shard: Shard,
        pieces: Callable[[Promised, int], Iterator[Tensor]],
        workers: int,
        done: Callable[[Promised], None],
    ) -> None:
        """Write one shard, ``workers`` tensors at a time.

        Args:
            pieces: (tensor, number of the worker from 0) -> its flat pieces in order, of its dtype; called in a thread.
            workers: how many threads, ≥ 1.
            done: called in the caller's thread after every tensor, in the order in which they end.

        Raises:
            FileError: it cannot be written, e.g. because the disk is full.
        """
        staging = self.folder / f"{shard.name}.new"
        header = _header(shard)
        starts = accumulate((tensor.bytes for tensor in shard.tensors), initial=len(header))
        jobs = list(zip(shard.tensors, starts, strict=False))  # the last start is the end of the file
        try:
            staging.write_bytes(header)
            of_header = (len(header), len(header), added(0, torch.frombuffer(bytearray(header), dtype=torch.uint8)))
            sums = [of_header, *in_threads(jobs, pieces, staging, workers, done)]
            staging.replace(self.folder / shard.name)
            self.done[shard.name] = sums
            self._write()
        except OSError as error:
            raise FileError(
                f"{self.target}: {shard.name} cannot be written ({error.strerror}); free some space and run again: "
                "finished shards are kept"
            ) from error

    def finish(self, texts: Mapping[str, str], copies: Sequence[Path]) -> None:
        """Add the files beside the weights and give the folder its name."""
        try:
            for name, text in texts.items():
                (self.folder / name).write_text(text, encoding="utf-8")
            for file in copies:
                shutil.copyfile(file, self.folder / file.name)
            (self.folder / JOURNAL).unlink()
            if self.target.exists():
                self.target.rmdir()
            self.folder.rename(self.target)
        except OSError as error:
            raise FileError(f"{self.target}: cannot be written ({error.strerror}); run again") from error


def _header(shard: Shard) -> bytes:
    content: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for tensor in shard.tensors:
        end = start + tensor.bytes
        content[tensor.name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(content, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
