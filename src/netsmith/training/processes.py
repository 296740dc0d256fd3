"""One process or several: Accelerate's part of the work.

A run of several processes (``accelerate launch``, ``torchrun``) trains as one process would: every process goes through
the same data in the same order and takes its share of the examples of each batch. So a script needs no change, and the
batch that the loader makes is the batch of one step, however many processes share it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import InputError
from .sharding import unasked

if TYPE_CHECKING:
    from accelerate import Accelerator


@contextmanager
def accelerated(device: torch.device, precision: str) -> Iterator[Accelerator]:
    """An Accelerator of our own, whatever the caller does with Accelerate; its state is put back afterwards.

    One process trains where the model lies. Several train on their own devices, on the CPU where there is no other or
    ``ACCELERATE_USE_CPU`` is set; their process group stays open, for the caller may train again.

    Raises:
        InputError: the precision is none that the device has.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState, PartialState
    from accelerate.utils import DistributedDataParallelKwargs, GradientAccumulationPlugin

    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    on_cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes") or not torch.cuda.is_available()
    cpu = on_cpu if several else device.type == "cpu"
    if precision == "fp16" and cpu:
        raise InputError("precision='fp16' needs a GPU; on a CPU take 'bf16'")
    states = [AcceleratorState, GradientState, *([] if several else [PartialState])]
    before = [dict(state._shared_state) for state in states]
    try:
        for state in states:
            state._shared_state.clear()
        # A model may hold parameters that some batch does not reach; DDP would wait for their gradients for ever.
        unused = DistributedDataParallelKwargs(find_unused_parameters=True)
        with unasked():
            ours = Accelerator(
                cpu=cpu,
                mixed_precision=precision,
                device_placement=several,
                # The loop divides the loss itself, whatever `accelerate launch` was told.
                gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
                kwargs_handlers=[unused] if several else [],
            )
        yield ours
    finally:
        for state, content in zip(states, before, strict=True):
            state._shared_state.clear()
            state._shared_state.update(content)


def examples(x: Any) -> int | None:
    """Examples of a batch: the first dimension of its first tensor; None where it has none."""
    if isinstance(x, Tensor):
        return len(x) if x.ndim else None
    if isinstance(x, Mapping):
        x = tuple(x.values())
    found = (examples(item) for item in x) if isinstance(x, tuple | list) else iter(())
    return next((count for count in found if count is not None), None)


def share(x: Any, y: Any, rank: int, world: int) -> tuple[Any, Any, int]:
    """This process's examples of a batch, and how many they are.

    Where there are fewer examples than processes some get one that others have too, to keep step, and count it 0.

    Raises:
        InputError: several processes, and a batch without a dimension of examples.
    """
    count = examples(x)
    if world == 1:
        return x, y, 1 if count is None else count
    if not count:
        raise InputError("the examples of a batch are shared among processes, but a batch has no tensor of examples")
    start, stop = count * rank // world, count * (rank + 1) // world
    mine = slice(start, stop) if stop > start else slice(0, 1)
    return _rows(x, count, mine), _rows(y, count, mine), stop - start


def _rows(x: Any, count: int, rows: slice) -> Any:
    if isinstance(x, Tensor):
        return x[rows] if x.ndim and len(x) == count else x
    if isinstance(x, tuple | list):
        return tuple(_rows(item, count, rows) for item in x)
    if isinstance(x, Mapping):
        return {key: _rows(value, count, rows) for key, value in x.items()}
    return x
