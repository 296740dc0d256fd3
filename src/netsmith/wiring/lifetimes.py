"""How long forward holds the memory that its calls make."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch.multiprocessing.reductions import StorageWeakRef


@dataclass(frozen=True)
class Held:
    """Memory that one call made: of a result, and of every view of it.

    Attributes:
        call, output: the call that made it, and the first of its results that lies there.
        last: the last call during which something still held it, ≥ call.
        bytes: its size.
    """

    call: int
    output: int
    last: int
    bytes: int


@dataclass(frozen=True)
class Lifetimes:
    """All memory that one forward made and was given.

    Attributes:
        held: what its calls made, in the order in which it was let go.
        given: bytes of the inputs, which the caller holds to the end.
        calls: number of calls.
    """

    held: tuple[Held, ...]
    given: int
    calls: int


class Watch:
    """Looks on while a forward runs. It holds no tensor that forward lets go."""

    def __init__(self) -> None:
        self._there: dict[int, torch.UntypedStorage] = {}  # held here, so that its address stays its own
        self._alive: dict[int, tuple[StorageWeakRef, int, int, int]] = {}
        self._held: list[Held] = []
        self._given = 0

    def there(self, tensors: Iterable[torch.Tensor], *, given: bool = False) -> None:
        """Tensors that the model holds, or that it is given, before it runs."""
        for tensor in tensors:
            storage = _storage(tensor)
            if storage is not None and storage._cdata not in self._there:
                self._there[storage._cdata] = storage
                self._given += storage.nbytes() if given else 0

    def before(self, call: int) -> None:
        """The next call has this number: what is gone by now was last held during the one before."""
        for key in [key for key, (reference, *_) in self._alive.items() if reference.expired()]:
            _, first, output, size = self._alive.pop(key)
            self._held.append(Held(first, output, call - 1, size))

    def made(self, call: int, results: Iterable[torch.Tensor]) -> None:
        """What a call returned; of memory that was there before it is only a view."""
        for output, tensor in enumerate(results):
            storage = _storage(tensor)
            if storage is not None and storage._cdata not in self._there and storage._cdata not in self._alive:
                self._alive[storage._cdata] = (StorageWeakRef(storage), call, output, storage.nbytes())

    def lifetimes(self, calls: int) -> Lifetimes:
        """After so many calls, while the results are held."""
        self.before(calls)
        rest = [Held(first, output, calls - 1, size) for _, first, output, size in self._alive.values()]
        return Lifetimes((*self._held, *rest), self._given, calls)


def _storage(tensor: torch.Tensor) -> torch.UntypedStorage | None:
    """None for tensors that have no one storage: sparse ones, and those inside a functorch transform."""
    try:
        return tensor.untyped_storage()
    except (NotImplementedError, RuntimeError):
        return None
