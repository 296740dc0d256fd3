"""The order of the data: decided by the seed and the number of the pass, so that a pass can be gone into again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader

from ..data.running import each_batch
from ..errors import InputError

_APART = 1_000_003  # between the seeds of one pass and the next


@contextmanager
def random_state_kept(device: torch.device, data: Any) -> Iterator[None]:
    """Put back torch's random state and the loader's afterwards, also after an error."""
    generators = _generators(data)
    states = [g.get_state() for g in generators]
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def begin_pass(seed: int, epoch: int, device: torch.device, data: Any) -> None:
    """Seed torch, the loader's generators and, where the data has ``set_epoch``, the data itself for a pass."""
    seed = (seed + _APART * epoch) % 2**63
    # Not torch.manual_seed: that would also reseed devices that are not put back.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    for generator in _generators(data):
        generator.manual_seed(seed)
    for each in (data, getattr(data, "sampler", None), getattr(data, "dataset", None)):
        if callable(tell := getattr(each, "set_epoch", None)):
            tell(epoch)


def groups(data: Iterable[Any], size: int) -> Iterator[list[tuple[Any, Any]]]:
    """(x, y) batches, ``size`` at a time; the last group of a pass may be smaller."""
    batches = each_batch(data)
    while group := list(islice(batches, size)):
        yield group


def count_batches(data: Iterable[Any]) -> int:
    """Batches of one pass, counted where the data cannot say.

    Raises:
        InputError: it can be gone through only once.
    """
    if isinstance(data, Iterator):
        raise InputError(
            "the data can be iterated only once (it is a generator or iterator), but every epoch needs a pass; "
            "give a DataLoader, or a list: list(data)"
        )
    if isinstance(data, Sized):
        try:
            return len(data)
        except TypeError:  # a DataLoader over an iterable data set has __len__ but cannot answer
            pass
    return sum(1 for _ in each_batch(data))


def _generators(data: Any) -> list[torch.Generator]:
    """Those that a DataLoader and its samplers draw from."""
    if not isinstance(data, DataLoader):
        return []
    holders = (data, data.sampler, data.batch_sampler)
    found = [getattr(holder, "generator", None) for holder in holders]
    return list({id(g): g for g in found if isinstance(g, torch.Generator)}.values())
