"""A teacher's outputs in a file, found again by the content of each example.

A teacher may cost more than the student. Where the same inputs come every pass, in whatever order, its outputs are
computed once. An input that was changed, by augmentation for instance, is not in the file and is refused: a teacher's
word on another image would be wrong, silently.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.running import call, device_of, each_batch, logits
from ..errors import FileError, InputError
from .order import random_state_kept
from .processes import examples

_BYTES = 16  # of a digest
_TEACHER = "netsmith.teacher"


class TeacherCache:
    """Outputs by example; the file stays on disk and is mapped into memory."""

    def __init__(self, keys: Tensor, rows: Any):
        self._rows = rows
        self._at = {bytes(key): i for i, key in enumerate(keys.numpy())}

    def outputs(self, x: Any) -> Tensor:
        """(examples, ...) on the CPU.

        Raises:
            InputError: an example that the cache was not made from.
        """
        keys = digests(x)
        absent = [i for i, key in enumerate(keys) if key not in self._at]
        if absent:
            raise InputError(
                f"example {absent[0]} of a batch is not in the cache of the teacher's outputs: the inputs must be the "
                "same every pass, so leave augmentation out, or train without cache; after a change of the data "
                "delete the file"
            )
        return torch.cat([self._rows[self._at[key] : self._at[key] + 1] for key in keys])


@contextmanager
def open_cache(path: Path, teacher: nn.Module, data: Iterable[Any]) -> Iterator[TeacherCache]:
    """The cache in a file, made from one pass over the data where there is none; the teacher is in eval mode.

    While it is made all outputs are held in memory.

    Raises:
        FileError: the file is damaged, of another teacher, or cannot be written.
        InputError: outputs of examples that do not all have the same shape.
    """
    from safetensors import SafetensorError, safe_open

    of = weights_digest(teacher)
    if not path.exists():
        _make(path, teacher, data, of)
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get(_TEACHER) != of:
                raise FileError(f"{path} holds the outputs of another teacher; delete it, or give another file")
            keys, rows = file.get_tensor("keys"), file.get_slice("outputs")
            if keys.dtype != torch.uint8 or keys.ndim != 2 or keys.shape[1] != _BYTES or not rows.get_shape():
                raise FileError(f"{path} is no cache of a teacher's outputs")
            yield TeacherCache(keys, rows)
    except (SafetensorError, OSError) as error:
        raise FileError(f"{path} is no whole cache of a teacher's outputs ({error}); delete it") from error


def digests(x: Any) -> list[bytes]:
    """One digest for each example of a batch: of its rows of all tensors, and of what the whole batch shares.

    Raises:
        InputError: no tensor has a dimension of examples.
    """
    count = examples(x)
    if not count:
        raise InputError("the teacher's outputs are kept by example, but a batch has no tensor of examples")
    rows, common = [], []
    for name, value in _leaves(x):
        if isinstance(value, Tensor) and value.ndim and len(value) == count:
            flat = value.detach().cpu().contiguous().reshape(count, -1)
            rows.append((f"{name} {tuple(value.shape[1:])} {value.dtype}".encode(), flat.view(torch.uint8).numpy()))
        elif isinstance(value, Tensor):
            flat = value.detach().cpu().contiguous().flatten()
            common.append((f"{name} {tuple(value.shape)} {value.dtype}".encode(), flat.view(torch.uint8).numpy()))
        else:
            common.append((f"{name} {value!r}".encode(), np.empty(0)))
    return [_digest([*common, *((head, row[i]) for head, row in rows)]) for i in range(count)]


def weights_digest(model: nn.Module) -> str:
    """Of the names, shapes and bytes of all parameters and buffers."""
    every = (*model.named_parameters(), *model.named_buffers())
    flat = (
        (f"{n} {tuple(t.shape)}".encode(), t.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        for n, t in every
        if t.numel()
    )
    return _digest(flat).hex()


def _digest(pieces: Iterable[tuple[bytes, np.ndarray]]) -> bytes:
    digest = hashlib.blake2b(digest_size=_BYTES)
    for head, values in pieces:
        digest.update(head)
        digest.update(values.tobytes())
    return digest.digest()


def _leaves(x: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(x, Mapping | tuple | list):
        for key, value in x.items() if isinstance(x, Mapping) else enumerate(x):
            for name, leaf in _leaves(value):
                yield f"{key}.{name}", leaf
    else:
        yield "", x


def _make(path: Path, teacher: nn.Module, data: Iterable[Any], of: str) -> None:
    from safetensors.torch import save_file

    found: dict[bytes, Tensor] = {}
    with torch.no_grad(), random_state_kept(device_of(teacher), data):
        for x, _ in each_batch(data):
            outputs = logits(call(teacher, x)).cpu()
            keys = digests(x)
            if len(outputs) != len(keys):
                raise InputError(
                    f"the teacher gave {len(outputs)} outputs for {len(keys)} examples; no cache is possible"
                )
            found.update(zip(keys, outputs, strict=True))
    if len({tuple(row.shape) for row in found.values()}) > 1:
        raise InputError("the teacher's outputs differ in shape from example to example; no cache is possible")
    keys_tensor = torch.from_numpy(np.frombuffer(b"".join(found), dtype=np.uint8).reshape(-1, _BYTES).copy())
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")  # several processes may make the same file at once
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(
            {"keys": keys_tensor, "outputs": torch.stack(list(found.values()))}, unfinished, metadata={_TEACHER: of}
        )
        unfinished.replace(path)
    except OSError as error:
        raise FileError(f"the teacher's outputs cannot be written to {path}: {error.strerror or error}") from error
