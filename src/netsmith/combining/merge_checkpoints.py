"""Merges checkpoints on disk, tensor by tensor, in memory that does not grow with them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from .checkpoint_folder import INDEX, CheckpointFolder, Reader, Stored, open_checkpoint
from .chunks import Chunks
from .merge_beside import config_text, copied_files, disagreements
from .merge_plan import MergedTensor, plan_merge
from .merge_recipe import MergeRecipe, read_recipe
from .shard_writer import Journal, Promised, divided, index_text

RECIPE = "merge_recipe.json"
SHARD_BYTES = 5_000_000_000

Progress = Callable[[int, int, str], None]
"""(bytes done, bytes in all, tensor)."""


@dataclass(frozen=True)
class Merged:
    """What ``merge_checkpoints`` wrote.

    Attributes:
        folder: the result.
        tensors: how many tensors it has.
        bytes: of all of them together.
        shards: names of its files.
        kept: those of them that an interrupted run had finished.
        notes: what the checkpoints disagree on, and how that was settled.
    """

    folder: Path
    tensors: int
    bytes: int
    shards: tuple[str, ...]
    kept: tuple[str, ...]
    notes: tuple[str, ...]


def merge_checkpoints(
    recipe: MergeRecipe | Mapping[str, Any] | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress | None = None,
) -> Merged:
    """Merge checkpoint folders into a new one by a recipe.

    Everything that can be wrong is said before anything is written. As many tensors are merged at a time as torch has
    threads; memory is that of a few chunks of a megabyte for each, whatever the checkpoints' size. The result is the
    same for any number of threads. A run that is interrupted goes on where it stopped when it is started again with the
    same recipe, inputs and ``out``; finished shards are kept. ``out`` appears when all is done.

    Args:
        recipe: a YAML file as mergekit reads it, or the mapping that it holds; models are folders on this machine.
        out: a folder that does not exist yet, or an empty one.
        shard_bytes: of the largest file, ≥ 1; a single tensor that is larger gets a file of its own.
        progress: called in this thread after every tensor, in the order in which they end.

    Returns:
        What was written; values keep the dtype of the first model (of the base), unless the recipe names another.

    Raises:
        InputError: a recipe that is wrong; the message names the fields.
        FileError: a checkpoint that is missing or damaged, something in the way of ``out``, or no space.
        ModelError: checkpoints that do not fit each other.

    Example:
        >>> merge_checkpoints("ties.yaml", "out/merged")  # doctest: +SKIP
    """
    checked = read_recipe(recipe)
    if shard_bytes < 1:
        raise InputError(f"shard_bytes={shard_bytes} must be at least 1")
    checkpoints = {model: open_checkpoint(model) for model in models_of(checked)}
    plan = plan_merge(checked, checkpoints)
    donor = checkpoints[checked.base_model or next(iter(checkpoints))]
    notes = disagreements(checked, checkpoints)
    copies = copied_files(checked, checkpoints, donor)
    by_name = {tensor.name: tensor for tensor in plan}
    shards = divided([Promised(t.name, t.stored[0].shape, t.dtype) for t in plan], shard_bytes)
    journal = Journal(Path(out), _identity(checked, checkpoints, shard_bytes))
    total = sum(tensor.bytes for shard in shards for tensor in shard.tensors)
    done = 0
    with _one_thread_each() as workers:
        readings = [_Reading() for _ in range(workers)]
        try:
            for shard in shards:
                if shard.name in journal.kept:
                    done += sum(tensor.bytes for tensor in shard.tensors)
                    continue

                def tell(tensor: Promised) -> None:
                    nonlocal done
                    done += tensor.bytes
                    if progress is not None:
                        progress(done, total, tensor.name)

                journal.write(shard, lambda t, worker: readings[worker].merged(by_name[t.name]), workers, tell)
        finally:
            for reading in readings:
                reading.close()
    texts = {RECIPE: checked.model_dump_json(indent=2, exclude_defaults=True) + "\n"}
    if donor.config:
        texts["config.json"] = config_text(checked, donor, plan)
    if len(shards) > 1:
        texts[INDEX] = index_text(shards)
    journal.finish(texts, copies)
    kept = tuple(sorted(journal.kept))
    return Merged(Path(out), len(plan), total, tuple(shard.name for shard in shards), kept, notes)


def models_of(recipe: MergeRecipe) -> list[str]:
    """Every model that a recipe names, once, the base first."""
    named = [recipe.base_model] if recipe.base_model else []
    named += [m.model for m in recipe.models or []]
    for piece in recipe.slices or []:
        named += [piece.base_model] if piece.base_model else []
        named += [s.model for s in piece.sources]
    if recipe.tokenizer_from not in ("base", "union"):
        named.append(recipe.tokenizer_from)
    return list(dict.fromkeys(named))


@contextmanager
def _one_thread_each() -> Iterator[int]:
    """How many tensors to merge at a time: torch's threads, each of which then works alone.

    Threads that share the few hundred kilobytes of a chunk spend more time waiting for each other than working.
    """
    workers = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield workers
    finally:
        torch.set_num_threads(workers)


@dataclass
class _FileSource:
    reader: Reader
    stored: Stored

    def read(self, first: int, last: int) -> Tensor:
        return self.reader.read(self.stored, first, last)


class _Reading:
    """Of one worker. One reader a source: what one reads must outlast the reading of the next."""

    def __init__(self) -> None:
        self.readers: list[Reader] = []

    def merged(self, tensor: MergedTensor) -> Iterator[Tensor]:
        """The flat pieces of one tensor of the result."""
        while len(self.readers) < len(tensor.stored):
            self.readers.append(Reader())
        sources = [_FileSource(r, s) for r, s in zip(self.readers, tensor.stored, strict=False)]
        chunks = Chunks(sources, tensor.stored[0].shape, tensor.ranked, tensor.name)
        if tensor.method is None:
            for chunk in chunks:
                yield chunk[0]
            return
        chunks, kernel = tensor.method(chunks)
        for chunk in chunks:
            yield kernel(chunk).to(tensor.dtype)

    def close(self) -> None:
        for reader in self.readers:
            reader.close()


def _identity(recipe: MergeRecipe, checkpoints: Mapping[str, CheckpointFolder], shard_bytes: int) -> str:
    """Changes whenever the result could."""
    files = sorted({stored.file for c in checkpoints.values() for stored in c.tensors.values()})
    stats = [(str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    content = json.dumps([recipe.model_dump(mode="json"), stats, shard_bytes, torch.__version__])
    return hashlib.sha256(content.encode()).hexdigest()
